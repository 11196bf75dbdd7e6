//go:build linux

package main

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// meter reads who has used how much of the machine, at the edges of a measured window.
type meter struct {
	proxies, origin []int // process ids
	from            usage
	gone            float64 // seconds of CPU that origins had used which are gone
	children        float64 // seconds of CPU that programs have used which the load has started
}

// usage is a reading: seconds of CPU since the processes, or the machine, began.
type usage struct {
	at                           time.Time
	proxies, origin, load, whole float64
}

// startMeter takes the first reading.
func startMeter(j job) (*meter, error) {
	m := &meter{proxies: j.Proxies, origin: j.Others}
	var err error
	m.from, err = m.read()
	return m, err
}

// stop takes the second reading and puts the difference into o.
func (m *meter) stop(o *outcome) error {
	to, err := m.read()
	if err != nil {
		return err
	}
	from := m.from
	o.Seconds = to.at.Sub(from.at).Seconds()
	o.ProxyCPU = to.proxies - from.proxies
	o.OriginCPU = to.origin - from.origin
	o.LoadCPU = to.load - from.load + m.children
	ours := o.ProxyCPU + o.OriginCPU + o.LoadCPU
	o.Foreign = max(to.whole-from.whole-ours, 0) / (o.Seconds * float64(runtime.NumCPU()))
	return nil
}

func (m *meter) read() (usage, error) {
	u := usage{}
	var err error
	if u.whole, err = machineCPU(); err != nil {
		return u, err
	}
	u.at = time.Now()
	if u.proxies, err = processesCPU(m.proxies); err != nil {
		return u, err
	}
	if u.origin, err = processesCPU(m.origin); err != nil {
		return u, err
	}
	u.origin += m.gone
	u.load, err = processesCPU([]int{os.Getpid()})
	return u, err
}

// lose tells that an origin is about to be killed: its clock goes with it.
func (m *meter) lose(pid int) error {
	used, err := processesCPU([]int{pid})
	if err != nil {
		return err
	}
	m.gone += used
	m.origin = slices.DeleteFunc(m.origin, func(p int) bool { return p == pid })
	return nil
}

// busiest is the number of the server that has used most of the CPU since it was started: with all others new, the one that serves.
func (m *meter) busiest(servers []server) (int, error) {
	best, most := 0, -1.0
	for i, s := range servers {
		used, err := processesCPU([]int{s.Pid})
		if err != nil {
			return 0, err
		}
		if used > most {
			best, most = i, used
		}
	}
	return best, nil
}

// processesCPU is the user and system time of all threads of the processes. It is what /proc/PID/stat shows, in nanoseconds
// instead of hundredths of a second: a process's CPU clock, whose number is made from the process id (clock_getcpuclockid(3)).
func processesCPU(pids []int) (float64, error) {
	var sum float64
	for _, pid := range pids {
		var t unix.Timespec
		clock := int32(^pid)<<3 | 2
		if err := unix.ClockGettime(clock, &t); err != nil {
			return 0, fmt.Errorf("the CPU time of process %d: %w", pid, err)
		}
		sum += float64(t.Nano()) / 1e9
	}
	return sum, nil
}

// machineCPU is the time that the processors were not idle, in seconds, from /proc/stat: all but idle and iowait. Time stolen by the
// hypervisor counts: it is foreign use.
func machineCPU() (float64, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(string(text), "\n")
	fields := strings.Fields(first) // cpu user nice system idle iowait irq softirq steal guest guest_nice
	if len(fields) < 9 {
		return 0, fmt.Errorf("/proc/stat begins with %q", first)
	}
	var ticks float64
	for _, i := range []int{1, 2, 3, 6, 7, 8} {
		n, err := strconv.ParseFloat(fields[i], 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/stat begins with %q", first)
		}
		ticks += n
	}
	return ticks / 100, nil // USER_HZ is 100 on every Linux that Go runs on
}

// resident is the memory of the processes that is in RAM now, in bytes, exact (the figure in /proc/PID/status lags behind).
func resident(pids []int) (int64, error) {
	var sum int64
	for _, pid := range pids {
		path := fmt.Sprintf("/proc/%d/smaps_rollup", pid)
		text, err := os.ReadFile(path)
		if err != nil {
			return 0, err
		}
		_, rest, _ := bytes.Cut(text, []byte("\nRss:"))
		fields := strings.Fields(string(rest))
		if len(fields) == 0 {
			return 0, fmt.Errorf("%s has no Rss", path)
		}
		kib, err := strconv.ParseInt(fields[0], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", path, err)
		}
		sum += kib << 10
	}
	return sum, nil
}
