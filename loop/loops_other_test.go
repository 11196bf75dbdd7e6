//go:build !linux

package loop

var everyLoop = map[string]func() (Runner, error){
	"Goroutines": New,
}
