//go:build linux

package main

import (
	"fmt"
	"math"
	"strings"
)

// plot is curves over time, of thousands of points; those of bench/ are over a few cases that are told apart.
type plot struct {
	title, unit string
	curves      []curve
	end         float64 // of the time, seconds
}

type curve struct {
	name string
	xs   []float64 // seconds
	ys   []float64
}

// The size of a picture and of the frame in it, in pixels, and the colours of curves (told apart without red and green), as in bench/.
const (
	plotWidth, plotHeight               = 740, 330
	frameLeft, frameTop, frameW, frameH = 70, 45, 500, 235
)

var colours = []string{"#d55e00", "#0072b2", "#009e73", "#cc79a7"}

// svg draws it. The first half, which is not judged, is grey.
func (p plot) svg() string {
	most := 0.0
	for _, c := range p.curves {
		for _, y := range c.ys {
			most = max(most, y)
		}
	}
	step := niceStep(most)
	top := step * math.Ceil(max(most, step)/step)
	y := func(v float64) float64 { return frameTop + frameH*(1-v/top) }
	x := func(t float64) float64 { return frameLeft + frameW*t/p.end }
	var out strings.Builder
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" font-family="sans-serif" font-size="12">
<title>%s</title>
<rect width="100%%" height="100%%" fill="white"/>
<rect x="%d" y="%d" width="%d" height="%d" fill="#f4f4f4"/>
`, plotWidth, plotHeight, p.title, frameLeft, frameTop, frameW/2, frameH)
	label := func(x, y float64, anchor, words string) {
		fmt.Fprintf(&out, `<text x="%.1f" y="%.1f" text-anchor="%s">%s</text>`+"\n", x, y, anchor, words)
	}
	label(frameLeft, 22, "start", p.title)
	label(frameLeft+frameW/2, frameTop+frameH+40, "middle", "minutes; what is not grey is judged")
	for v := 0.0; v <= top*1.001; v += step {
		fmt.Fprintf(&out, `<line x1="%d" y1="%.1f" x2="%d" y2="%.1f" stroke="#dddddd"/>`+"\n", frameLeft, y(v), frameLeft+frameW, y(v))
		label(frameLeft-8, y(v)+4, "end", fmt.Sprintf("%g", v)+p.unit)
	}
	for i := range 7 {
		t := p.end * float64(i) / 6
		label(x(t), frameTop+frameH+18, "middle", fmt.Sprintf("%.3g", t/60))
	}
	for i, c := range p.curves {
		var line strings.Builder
		for j := range c.xs {
			fmt.Fprintf(&line, "%.1f,%.1f ", x(c.xs[j]), y(c.ys[j]))
		}
		fmt.Fprintf(&out, `<polyline points="%s" fill="none" stroke="%s" stroke-width="1.2"/>`+"\n", strings.TrimSpace(line.String()), colours[i])
		row := float64(frameTop + 8 + 20*i)
		fmt.Fprintf(&out, `<rect x="%d" y="%.0f" width="12" height="12" fill="%s"/>`+"\n", frameLeft+frameW+12, row, colours[i])
		label(frameLeft+frameW+30, row+10, "start", c.name)
	}
	out.WriteString("</svg>\n")
	return out.String()
}

// niceStep divides an axis up to most into six parts at most.
func niceStep(most float64) float64 {
	step := math.Pow(10, math.Floor(math.Log10(max(most, 1)/2)))
	for _, m := range []float64{1, 2, 5} {
		if most/(m*step) <= 6 {
			return m * step
		}
	}
	return 10 * step
}
