package browser

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"
)

// Tab is a page with cookies and permissions of its own.
type Tab struct {
	browser *Browser
	session string
	context string // of the browser, where cookies are

	mu       sync.Mutex
	requests []string      // URLs asked for; guarded by mu
	dialogs  []string      // messages of dialogs; guarded by mu
	problems []string      // errors of scripts and the console; guarded by mu
	loaded   chan struct{} // closed by the next load; guarded by mu
}

// Look is how a tab shows pages.
type Look struct {
	Width, Height int
	Dark          bool
	NoScript      bool
	Headers       map[string]string // sent with every request
}

// answerTime is how long Chromium may take for one command, on a busy machine.
const answerTime = 30 * time.Second

// NewTab opens an empty page.
func (b *Browser) NewTab(l Look) (*Tab, error) {
	ctx, cancel := context.WithTimeout(context.Background(), answerTime)
	defer cancel()
	var own struct {
		ID string `json:"browserContextId"`
	}
	if err := b.call(ctx, "", "Target.createBrowserContext", nil, &own); err != nil {
		return nil, err
	}
	var target struct {
		ID string `json:"targetId"`
	}
	err := b.call(ctx, "", "Target.createTarget", map[string]any{"url": "about:blank", "browserContextId": own.ID}, &target)
	if err != nil {
		return nil, err
	}
	var session struct {
		ID string `json:"sessionId"`
	}
	err = b.call(ctx, "", "Target.attachToTarget", map[string]any{"targetId": target.ID, "flatten": true}, &session)
	if err != nil {
		return nil, err
	}
	t := &Tab{browser: b, session: session.ID, context: own.ID, loaded: make(chan struct{})}
	b.mu.Lock()
	b.events[t.session] = t.handle
	b.mu.Unlock()
	for _, domain := range []string{"Page", "Network", "Runtime", "Log"} {
		if err := t.call(domain+".enable", nil, nil); err != nil {
			return nil, err
		}
	}
	return t, t.look(l)
}

func (t *Tab) look(l Look) error {
	scheme := "light"
	if l.Dark {
		scheme = "dark"
	}
	headers := map[string]string{}
	for k, v := range l.Headers {
		headers[k] = v
	}
	for _, c := range []struct {
		method string
		params map[string]any
	}{
		{"Emulation.setDeviceMetricsOverride", map[string]any{"width": l.Width, "height": l.Height, "deviceScaleFactor": 1, "mobile": false}},
		{"Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{
			{"name": "prefers-color-scheme", "value": scheme}, {"name": "prefers-reduced-motion", "value": "reduce"}}}},
		{"Emulation.setScriptExecutionDisabled", map[string]any{"value": l.NoScript}},
		{"Network.setExtraHTTPHeaders", map[string]any{"headers": headers}},
	} {
		if err := t.call(c.method, c.params, nil); err != nil {
			return err
		}
	}
	return nil
}

func (t *Tab) call(method string, params, result any) error {
	ctx, cancel := context.WithTimeout(context.Background(), answerTime)
	defer cancel()
	return t.browser.call(ctx, t.session, method, params, result)
}

// handle takes note of an event. It runs on the goroutine that reads Chromium's
// output, so it waits for nothing.
func (t *Tab) handle(e *event) {
	var p struct {
		Message string `json:"message"`
		Request struct {
			URL string `json:"url"`
		} `json:"request"`
		Entry struct {
			Level string `json:"level"`
			Text  string `json:"text"`
			URL   string `json:"url"`
		} `json:"entry"`
		Exception struct {
			Text string `json:"text"`
		} `json:"exceptionDetails"`
	}
	if json.Unmarshal(e.params, &p) != nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch e.method {
	case "Network.requestWillBeSent":
		t.requests = append(t.requests, p.Request.URL)
	case "Page.javascriptDialogOpening":
		t.dialogs = append(t.dialogs, p.Message)
	case "Runtime.exceptionThrown":
		t.problems = append(t.problems, p.Exception.Text)
	case "Log.entryAdded":
		if p.Entry.Level == "error" {
			t.problems = append(t.problems, p.Entry.Text+" "+p.Entry.URL)
		}
	case "Page.loadEventFired":
		select {
		case <-t.loaded:
		default:
			close(t.loaded)
		}
	}
}

// Seen is what a tab took note of since the last Open.
type Seen struct {
	Requests []string // URLs
	Dialogs  []string // messages
	Problems []string // errors of scripts and of the console
}

// Seen returns what was noted since the last Open.
func (t *Tab) Seen() Seen {
	t.mu.Lock()
	defer t.mu.Unlock()
	return Seen{slices.Clone(t.requests), slices.Clone(t.dialogs), slices.Clone(t.problems)}
}

// expect makes ready for a load, and returns what waits for it.
func (t *Tab) expect() func() error {
	loaded := make(chan struct{})
	t.mu.Lock()
	t.loaded, t.requests, t.dialogs, t.problems = loaded, nil, nil, nil
	t.mu.Unlock()
	return func() error {
		select {
		case <-loaded:
			return nil
		case <-time.After(answerTime):
			return fmt.Errorf("no page was loaded in %s", answerTime)
		}
	}
}

// Open loads a page and waits until it is there with all that belongs to it.
func (t *Tab) Open(url string) error {
	wait := t.expect()
	var result struct {
		Error string `json:"errorText"`
	}
	if err := t.call("Page.navigate", map[string]any{"url": url}, &result); err != nil {
		return err
	}
	if result.Error != "" {
		return fmt.Errorf("open %s: %s", url, result.Error)
	}
	return wait()
}

// Follow does something that leads to another page, and waits for that.
func (t *Tab) Follow(do func() error) error {
	wait := t.expect()
	if err := do(); err != nil {
		return err
	}
	return wait()
}

// Run evaluates an expression in the page, waits for the promise that it may be, and
// decodes its value as JSON into result, which may be nil. It works where the page's own
// scripts are switched off, too, but for promises.
func (t *Tab) Run(expression string, result any) error {
	var out struct {
		Result struct {
			Value json.RawMessage `json:"value"`
		} `json:"result"`
		Exception *struct {
			Text      string `json:"text"`
			Exception struct {
				Description string `json:"description"`
			} `json:"exception"`
		} `json:"exceptionDetails"`
	}
	err := t.call("Runtime.evaluate", map[string]any{
		"expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true,
	}, &out)
	if err != nil {
		return err
	}
	if out.Exception != nil {
		return fmt.Errorf("script: %s %s", out.Exception.Text, out.Exception.Exception.Description)
	}
	if result == nil || out.Result.Value == nil {
		return nil
	}
	return json.Unmarshal(out.Result.Value, result)
}

// Click presses the mouse in the middle of the first element that a selector finds.
func (t *Tab) Click(selector string) error {
	var at struct{ X, Y float64 }
	name, err := json.Marshal(selector)
	if err != nil {
		return err
	}
	err = t.Run(`(() => { const e = document.querySelector(`+string(name)+`); if (!e) throw new Error("no element fits");
		e.scrollIntoView({block: "center"}); const r = e.getClientRects()[0];
		return {X: r.x + r.width / 2, Y: r.y + r.height / 2}; })()`, &at)
	if err != nil {
		return fmt.Errorf("click %s: %w", selector, err)
	}
	for _, kind := range []string{"mouseMoved", "mousePressed", "mouseReleased"} {
		err := t.call("Input.dispatchMouseEvent", map[string]any{"type": kind, "x": at.X, "y": at.Y, "button": "left", "clickCount": 1}, nil)
		if err != nil {
			return err
		}
	}
	return nil
}

// Type writes text where the cursor is; "\n" is the Enter key.
func (t *Tab) Type(text string) error {
	for _, r := range text {
		key := map[string]any{"type": "char", "text": string(r)}
		if r == '\n' {
			key = map[string]any{"type": "keyDown", "key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"}
		}
		if err := t.call("Input.dispatchKeyEvent", key, nil); err != nil {
			return err
		}
	}
	return nil
}

// AllowClipboard lets the pages of an origin read and write the clipboard.
func (t *Tab) AllowClipboard(origin string) error {
	ctx, cancel := context.WithTimeout(context.Background(), answerTime)
	defer cancel()
	return t.browser.call(ctx, "", "Browser.grantPermissions", map[string]any{
		"origin": origin, "browserContextId": t.context, "permissions": []string{"clipboardReadWrite", "clipboardSanitizedWrite"},
	}, nil)
}

// Screenshot writes a picture of the page, whole or as far as it is in sight, as PNG.
func (t *Tab) Screenshot(file string, whole bool) error {
	var shot struct {
		Data string `json:"data"`
	}
	if err := t.call("Page.captureScreenshot", map[string]any{"format": "png", "captureBeyondViewport": whole}, &shot); err != nil {
		return err
	}
	data, err := base64.StdEncoding.DecodeString(shot.Data)
	if err != nil {
		return err
	}
	return os.WriteFile(file, data, 0o644)
}

// Close closes the tab and forgets its cookies.
func (t *Tab) Close() error {
	t.browser.mu.Lock()
	delete(t.browser.events, t.session)
	t.browser.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), answerTime)
	defer cancel()
	return t.browser.call(ctx, "", "Target.disposeBrowserContext", map[string]any{"browserContextId": t.context}, nil)
}
