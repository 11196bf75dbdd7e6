package main

import (
	"encoding/xml"
	"fmt"
	"math"
	"strings"
)

// plot is curves over points that all have in common, which stand at equal distances: of powers, that is a logarithmic axis.
type plot struct {
	title, x, y string
	labels      []string  // of the points
	xs          []float64 // what they stand for; none: it is not known whether a curve is a line
	curves      []curve
}

type curve struct {
	name   string
	points []point // in order
}

type point struct {
	at int // index in labels
	spread
}

// The size of a plot, and of the frame within it, in pixels.
const (
	plotWidth, plotHeight               = 740, 400
	frameLeft, frameTop, frameW, frameH = 80, 50, 480, 280
)

// The colours of curves, in order; they are told apart by those who do not see red and green, and on white.
var plotColours = []string{"#d55e00", "#0072b2", "#009e73", "#cc79a7", "#000000"}

// scale maps values to heights.
type scale struct {
	low, high float64
	log       bool
	ticks     []float64
}

// newScale begins at 0, or is logarithmic where the greatest value is more than 20 times the least.
func newScale(low, high float64) scale {
	if low > 0 && high > 20*low {
		s := scale{low: math.Pow(10, math.Floor(math.Log10(low))), high: math.Pow(10, math.Ceil(math.Log10(high))), log: true}
		for v := s.low; v <= s.high*1.001; v *= 10 {
			s.ticks = append(s.ticks, v)
		}
		return s
	}
	if high <= 0 {
		high = 1
	}
	step := math.Pow(10, math.Floor(math.Log10(high/2)))
	for _, m := range []float64{1, 2, 5, 10} {
		if high/(m*step) <= 6 {
			step *= m
			break
		}
	}
	s := scale{high: math.Ceil(high/step) * step}
	for i := range int(s.high/step+0.5) + 1 {
		s.ticks = append(s.ticks, float64(i)*step)
	}
	return s
}

// y is the height of a value in the picture.
func (s scale) y(v float64) float64 {
	share := (v - s.low) / (s.high - s.low)
	if s.log {
		share = math.Log(v/s.low) / math.Log(s.high/s.low)
	}
	return frameTop + frameH*(1-share)
}

// column is where the point of an index stands.
func (p plot) column(i int) float64 {
	return frameLeft + frameW*(float64(i)+0.5)/float64(len(p.labels))
}

// scale fits all curves.
func (p plot) scale() scale {
	low, high := math.Inf(1), 0.0
	for _, c := range p.curves {
		for _, q := range c.points {
			low, high = min(low, q.low), max(high, q.high)
		}
	}
	return newScale(low, high)
}

// svg draws the plot: a line through the medians, and for each point a bar from the least to the greatest round.
func (p plot) svg() string {
	var out strings.Builder
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" font-family="sans-serif" font-size="12">
<title>%s</title>
<rect width="100%%" height="100%%" fill="white"/>
`, plotWidth, plotHeight, escape(p.title))
	text(&out, frameLeft, 25, "start", 14, p.title)
	text(&out, frameLeft, frameTop-10, "end", 12, p.y)
	text(&out, frameLeft+frameW/2, frameTop+frameH+45, "middle", 12, p.x)
	s := p.scale()
	for _, tick := range s.ticks {
		y := s.y(tick)
		fmt.Fprintf(&out, `<line x1="%d" y1="%.1f" x2="%d" y2="%.1f" stroke="#dddddd"/>`+"\n", frameLeft, y, frameLeft+frameW, y)
		text(&out, frameLeft-8, y+4, "end", 12, tickLabel(tick))
	}
	for i, label := range p.labels {
		text(&out, p.column(i), frameTop+frameH+20, "middle", 12, label)
	}
	for i, c := range p.curves {
		p.draw(&out, c, s, plotColours[i%len(plotColours)], i)
	}
	out.WriteString("</svg>\n")
	return out.String()
}

func (p plot) draw(out *strings.Builder, c curve, s scale, colour string, row int) {
	var line []string
	for _, q := range c.points {
		x, y := p.column(q.at), s.y(q.median)
		line = append(line, fmt.Sprintf("%.1f,%.1f", x, y))
		fmt.Fprintf(out, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s" stroke-opacity="0.5"/>`+"\n", x, s.y(q.low), x, s.y(q.high), colour)
		fmt.Fprintf(out, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>`+"\n", x, y, colour)
	}
	fmt.Fprintf(out, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>`+"\n", strings.Join(line, " "), colour)
	y := float64(frameTop + 10 + 20*row)
	fmt.Fprintf(out, `<rect x="%d" y="%.0f" width="12" height="12" fill="%s"/>`+"\n", frameLeft+frameW+15, y, colour)
	text(out, frameLeft+frameW+33, y+10, "start", 12, c.name)
}

func text(out *strings.Builder, x, y float64, anchor string, size int, words string) {
	fmt.Fprintf(out, `<text x="%.1f" y="%.1f" text-anchor="%s" font-size="%d">%s</text>`+"\n", x, y, anchor, size, escape(words))
}

func escape(words string) string {
	var out strings.Builder
	_ = xml.EscapeText(&out, []byte(words)) // a strings.Builder takes everything
	return out.String()
}

// tickLabel writes a round number without needless decimals.
func tickLabel(v float64) string {
	if v >= 1000 {
		return number(v)
	}
	return strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.3f", v), "0"), ".")
}
