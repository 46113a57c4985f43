// Standin is the program inside the images that the tests load under the names
// which example manifests use: it serves, fails, takes memory and asks the API,
// as the first argument says.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// serviceAccount is where a pod finds its token.
const serviceAccount = "/var/run/secrets/kubernetes.io/serviceaccount/"

func main() {
	modes := map[string]func(args []string) error{
		"serve": serve, "echo": echo, "health": health, "stress": stress, "api": api, "trap": trap, "ask": ask,
	}
	mode, args := "", os.Args[1:]
	if len(args) > 0 {
		mode, args = args[0], args[1:]
	}
	run := modes[mode]
	if run == nil {
		run = func([]string) error {
			return fmt.Errorf("mode %q: want one of serve, echo, health, stress, api, trap, ask", mode)
		}
	}
	if err := run(args); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// serve PORT answers HTTP with the pod's name; /client with the name and where the
// request comes from; /healthz is well for ten seconds, for those that send the
// header which the example's probe has.
func serve(args []string) error {
	start := time.Now()
	host, _ := os.Hostname()
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "this is", host) })
	http.HandleFunc("/client", func(w http.ResponseWriter, r *http.Request) {
		from, _, _ := net.SplitHostPort(r.RemoteAddr)
		fmt.Fprintln(w, host, from)
	})
	http.HandleFunc("/healthz", func(w http.ResponseWriter, r *http.Request) {
		if time.Since(start) > 10*time.Second || r.Header.Get("Custom-Header") != "Awesome" {
			http.Error(w, "not well", http.StatusInternalServerError)
		}
	})
	return http.ListenAndServe(":"+args[0], nil)
}

// echo PORT answers over TCP and UDP with the pod's name.
func echo(args []string) error {
	host, _ := os.Hostname()
	packets, err := net.ListenPacket("udp", ":"+args[0])
	if err != nil {
		return err
	}
	go func() {
		buf := make([]byte, 1500)
		for {
			_, from, err := packets.ReadFrom(buf)
			if err != nil {
				return
			}
			packets.WriteTo([]byte("udp "+host+"\n"), from)
		}
	}()
	l, err := net.Listen("tcp", ":"+args[0])
	if err != nil {
		return err
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		fmt.Fprintln(c, "tcp", host)
		c.Close()
	}
}

// ask NETWORK ADDRESS sends a byte and prints the answer.
func ask(args []string) error {
	c, err := net.DialTimeout(args[0], args[1], 2*time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(2 * time.Second))
	if _, err := c.Write([]byte("x")); err != nil {
		return err
	}
	buf := make([]byte, 100)
	n, err := c.Read(buf)
	fmt.Print(string(buf[:n]))
	return err
}

// health PORT is a gRPC server whose health service says SERVING.
func health(args []string) error {
	s := &http.Server{Addr: ":" + args[0], Protocols: new(http.Protocols)}
	s.Protocols.SetUnencryptedHTTP2(true)
	s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Trailer", "Grpc-Status")
		if r.URL.Path == "/grpc.health.v1.Health/Check" {
			w.Write([]byte{0, 0, 0, 0, 2, 8, 1}) // uncompressed, 2 bytes: field 1, SERVING
			w.Header().Set("Grpc-Status", "0")
		} else {
			w.Header().Set("Grpc-Status", "12") // unimplemented
		}
	})
	return s.ListenAndServe()
}

// stress takes the arguments of the program of that name, and --vm-bytes of
// memory.
func stress(args []string) error {
	for i, arg := range args {
		if arg != "--vm-bytes" {
			continue
		}
		mb, err := strconv.Atoi(strings.TrimSuffix(args[i+1], "M"))
		if err != nil {
			return err
		}
		memory := make([]byte, mb<<20)
		for i := 0; i < len(memory); i += 4096 {
			memory[i] = 1
		}
		fmt.Println("took", mb, "MB")
		defer func() { _ = memory[len(memory)-1] }()
	}
	return wait()
}

// wait until the program is told to end.
func wait() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	<-ctx.Done()
	return nil
}

// trap SECONDS takes so long to end.
func trap(args []string) error {
	d, err := time.ParseDuration(args[0] + "s")
	if err != nil {
		return err
	}
	if err := wait(); err != nil {
		return err
	}
	fmt.Println("told to end")
	time.Sleep(d)
	return nil
}

// api PATH prints what the API server answers to the pod's ServiceAccount.
func api(args []string) error {
	ca, err := os.ReadFile(serviceAccount + "ca.crt")
	if err != nil {
		return err
	}
	token, err := os.ReadFile(serviceAccount + "token")
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	r, err := http.NewRequest(http.MethodGet, "https://kubernetes.default.svc"+args[0], nil)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+string(token))
	answer, err := client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	fmt.Println(answer.StatusCode)
	_, err = io.Copy(os.Stdout, answer.Body)
	return err
}
