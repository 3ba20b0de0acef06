// An HTTP server that reads each file with many goroutines. Without an address it is its own client, beside a goroutine that computes for so
// long without a call that the runtime takes the processor from it by a signal.
package main

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"sort"
	"sync"
	"sync/atomic"
	"time"
)

const parts = 20

// The whole file, read by a goroutine a part.
func read(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	whole := make([]byte, info.Size())
	failed := make(chan error, parts)
	for i := 0; i < parts; i++ {
		go func(from, to int) {
			_, err := file.ReadAt(whole[from:to], int64(from))
			failed <- err
		}(len(whole)*i/parts, len(whole)*(i+1)/parts)
	}
	for i := 0; i < parts; i++ {
		if err := <-failed; err != nil {
			return nil, err
		}
	}
	return whole, nil
}

func serve(w http.ResponseWriter, r *http.Request) {
	body, err := read("." + r.URL.Path)
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	w.Write(body)
}

func fetch(url string) string {
	response, err := http.Get(url)
	if err != nil {
		panic(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf("%d %x\n", len(body), sha256.Sum256(body))
}

// Makes no call and yields nowhere, until somebody else has had the processor.
func compute(ticks *int32) (sum uint64) {
	for atomic.LoadInt32(ticks) < 2 {
		sum = sum*6364136223846793005 + 1
	}
	return sum
}

func main() {
	address := "127.0.0.1:0"
	if len(os.Args) > 1 {
		address = os.Args[1]
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		panic(err)
	}
	http.HandleFunc("/", serve)
	if len(os.Args) > 1 {
		panic(http.Serve(listener, nil))
	}
	go http.Serve(listener, nil)
	for turn := 0; turn < 6; turn++ {
		lines := make([]string, 20)
		var all sync.WaitGroup
		for i := range lines {
			all.Add(1)
			go func(i int) {
				defer all.Done()
				name := fmt.Sprintf("file-%d", i)
				if err := os.WriteFile(name, make([]byte, 1000*turn+i), 0o644); err != nil {
					panic(err)
				}
				lines[i] = fetch(fmt.Sprintf("http://%s/%s", listener.Addr(), name))
			}(i)
		}
		all.Wait()
		sort.Strings(lines)
		for _, line := range lines {
			fmt.Print(line)
		}
		runtime.GC()
	}
	var ticks int32
	computed := make(chan uint64)
	go func() { computed <- compute(&ticks) }()
	for stopped := false; !stopped; {
		select {
		case <-computed:
			stopped = true
		case <-time.After(time.Millisecond):
			atomic.AddInt32(&ticks, 1)
		}
	}
	fmt.Println("stopped by a signal")
	os.Exit(4)
}
