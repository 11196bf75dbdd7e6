package loop

var everyLoop = map[string]func() (Runner, error){
	"Epoll":      New,
	"Goroutines": func() (Runner, error) { return NewGoroutines(), nil },
}
