//go:build linux && amd64

package chaos

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// clock is what replaces clock_gettime in one process: the system call that it spares otherwise, and an offset on the clock of the
// calendar (CLOCK_REALTIME, 0). The offset is the last 8 bytes.
//
//	mov $228, %eax; syscall; test %edi, %edi; jne 1f; mov 9(%rip), %rcx; add %rcx, (%rsi); 1: xor %eax, %eax; ret
var clock = []byte{0xb8, 0xe4, 0, 0, 0, 0x0f, 0x05, 0x85, 0xff, 0x75, 0x0a, 0x48, 0x8b, 0x0d, 0x06, 0, 0, 0, 0x48, 0x01, 0x0e,
	0x31, 0xc0, 0xc3, 0, 0, 0, 0, 0, 0, 0, 0}

// jumpClock sets the calendar of one process off by some time. Processes ask the kernel's page of code that each has mapped (vdso(7)); that
// of this one is written over, as a debugger would, so no other process of the machine sees the jump. Nothing is asked by a process that
// makes the system call itself: Go, redis and nginx do not.
func (p *process) jumpClock(by time.Duration) error {
	start, end, err := p.vdso()
	if err != nil {
		return err
	}
	memory, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", p.pid()), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer memory.Close()
	image := make([]byte, end-start)
	if _, err := memory.ReadAt(image, start); err != nil {
		return fmt.Errorf("reading the vdso of %s: %w", p.name, err)
	}
	offsets, err := clockSymbols(image)
	if err != nil {
		return err
	}
	code := bytes.Clone(clock)
	binary.LittleEndian.PutUint64(code[len(code)-8:], uint64(by/time.Second))
	if err := p.freezeOutside(start, end); err != nil {
		return err
	}
	defer p.thaw()
	for _, at := range offsets {
		if _, err := memory.WriteAt(code, start+at); err != nil {
			return fmt.Errorf("writing over clock_gettime of %s: %w", p.name, err)
		}
	}
	return nil
}

// freezeOutside stops the process when none of its threads is in the page: one that was would go on in the middle of other code.
func (p *process) freezeOutside(start, end int64) error {
	return eventually(p.name+" is outside of its vdso", func() bool {
		if p.freeze() != nil {
			return false
		}
		threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/syscall", p.pid()))
		for _, thread := range threads {
			text, _ := os.ReadFile(thread) // its last word is where the thread is (proc_pid_syscall(5)); also when it is in no call
			words := strings.Fields(string(text))
			var at int64
			if len(words) == 0 {
				continue
			}
			if _, err := fmt.Sscanf(words[len(words)-1], "0x%x", &at); err == nil && at >= start && at < end {
				p.thaw()
				return false
			}
		}
		return true
	})
}

// vdso is where the process has the page.
func (p *process) vdso() (start, end int64, err error) {
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", p.pid()))
	if err != nil {
		return 0, 0, err
	}
	for _, line := range strings.Split(string(maps), "\n") {
		if strings.HasSuffix(line, "[vdso]") {
			_, err = fmt.Sscanf(line, "%x-%x", &start, &end)
			return start, end, err
		}
	}
	return 0, 0, fmt.Errorf("%s has no vdso", p.name)
}

// clockSymbols is where the function begins, from the page's beginning. It has two names, and may be there twice.
func clockSymbols(image []byte) (at []int64, err error) {
	file, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		return nil, fmt.Errorf("the vdso: %w", err)
	}
	symbols, err := file.DynamicSymbols()
	if err != nil {
		return nil, fmt.Errorf("the vdso: %w", err)
	}
	for _, s := range symbols {
		if strings.HasSuffix(s.Name, "clock_gettime") && s.Size >= uint64(len(clock)) {
			at = append(at, int64(s.Value))
		}
	}
	if len(at) == 0 {
		return nil, fmt.Errorf("the vdso has no clock_gettime of %d bytes", len(clock))
	}
	return at, nil
}
