package engine

import (
	"strings"
	"sync"
)

// document is one document of a rendered file, with what decides its place.
type document struct {
	text string
	head head
	err  error // it is not YAML
}

// documents cuts rendered files into documents and reads their heads while templates
// of other files still run: checking all YAML of a large chart takes as long as
// rendering it.
type documents struct {
	files  chan renderedFile
	done   chan struct{}
	stop   sync.Once
	byName map[string][]document // of the goroutine until done is closed
}

type renderedFile struct{ name, text string }

// readDocuments starts reading, which ends with wait.
func readDocuments() *documents {
	d := &documents{files: make(chan renderedFile, 100), done: make(chan struct{}), byName: map[string][]document{}}
	go func() {
		defer close(d.done)
		for file := range d.files {
			d.byName[file.name] = cutDocuments(file.text)
		}
	}()
	return d
}

// add takes in a rendered file. Notes and empty files have no documents.
func (d *documents) add(name, text string) {
	if !strings.HasSuffix(name, notesName) && strings.TrimSpace(text) != "" {
		d.files <- renderedFile{name, text}
	}
}

// wait ends the reading and returns the documents of each file.
func (d *documents) wait() map[string][]document {
	d.stop.Do(func() { close(d.files) })
	<-d.done
	return d.byName
}

func cutDocuments(text string) []document {
	docs := SplitManifests(text)
	out := make([]document, len(docs))
	for i, doc := range docs {
		out[i].text = doc
		out[i].head, out[i].err = readHead(doc)
	}
	return out
}
