//go:build linux

package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// flatWithin is how many times the least of a flat curve its greatest is, at most; and how far a linear one is from its line.
const flatWithin = 1.3

// say puts each curve into words: flat, linear, or where it falls and rises, with the reasons for that.
func (p plot) say(why map[string]reasons) string {
	var out strings.Builder
	told := map[string]bool{}
	for _, c := range p.curves {
		reason, ok := why[c.name]
		if !ok {
			reason = why[""]
		}
		fmt.Fprintf(&out, "- %s: %s.\n", c.name, p.shape(c, reason, told))
	}
	return out.String()
}

// shape describes one curve. Reasons that were told are not told again.
func (p plot) shape(c curve, why reasons, told map[string]bool) string {
	at := func(q point) string { return fmt.Sprintf("%s at %s", number(q.median), p.labels[q.at]) }
	low, high := c.points[0], c.points[0]
	for _, q := range c.points {
		if q.median < low.median {
			low = q
		}
		if q.median > high.median {
			high = q
		}
	}
	if high.median <= flatWithin*low.median {
		return fmt.Sprintf("flat, from %s to %s %s", at(low), at(high), p.y)
	}
	if a, b, ok := p.line(c); ok {
		return fmt.Sprintf("linear, %s %s and %s × %s, from %s to %s", number(a), p.y, small(b), p.x, at(c.points[0]), at(c.points[len(c.points)-1]))
	}
	var parts []string
	for _, part := range turns(c.points) {
		word, text := "falls", why.falls
		if part[1].median > part[0].median {
			word, text = "rises", why.rises
		}
		if text == "" {
			text = "**not explained yet**"
		}
		if told[text] {
			text = "for the same reason"
		} else if why.falls+why.rises != "" {
			told[text] = true
		}
		parts = append(parts, fmt.Sprintf("%s from %s to %s: %s", word, at(part[0]), at(part[1]), text))
	}
	return strings.Join(parts, "; ")
}

// small writes the slope of a line.
func small(v float64) string {
	if math.Abs(v) < 0.01 {
		return fmt.Sprintf("%.2g", v)
	}
	return number(v)
}

// line fits median = a + b x, with the least relative error, and reports whether all points are near it, and it rises from a place that
// is not below zero.
func (p plot) line(c curve) (a, b float64, ok bool) {
	if len(c.points) < 3 || len(p.xs) == 0 {
		return 0, 0, false
	}
	var s, sx, sxx, sy, sxy float64
	for _, q := range c.points {
		x, y := p.xs[q.at], q.median
		if y <= 0 {
			return 0, 0, false
		}
		w := 1 / (y * y)
		s, sx, sxx, sy, sxy = s+w, sx+w*x, sxx+w*x*x, sy+w*y, sxy+w*x*y
	}
	d := s*sxx - sx*sx
	if d == 0 {
		return 0, 0, false
	}
	a, b = (sxx*sy-sx*sxy)/d, (s*sxy-sx*sy)/d
	if a < 0 || b <= 0 {
		return 0, 0, false
	}
	for _, q := range c.points {
		if fit := (a + b*p.xs[q.at]) / q.median; fit > flatWithin || fit < 1/flatWithin {
			return 0, 0, false
		}
	}
	return a, b, true
}

// turns cuts a curve where it turns, and leaves out what stays within flatWithin: each part is its first and its last point.
func turns(points []point) (parts [][2]point) {
	far := func(from, to point) bool {
		return to.median > flatWithin*from.median || from.median > flatWithin*to.median
	}
	low, high := points[0], points[0]
	i := slices.IndexFunc(points, func(q point) bool { // the first far move decides the direction
		if q.median < low.median {
			low = q
		}
		if q.median > high.median {
			high = q
		}
		return far(low, high)
	})
	if i < 0 {
		return nil
	}
	from, end := low, high
	if high.at < low.at {
		from, end = high, low
	}
	for _, q := range points[i+1:] {
		rising := end.median > from.median
		switch {
		case q.median == end.median:
		case (q.median > end.median) == rising:
			end = q
		case far(end, q):
			parts = append(parts, [2]point{from, end})
			from, end = end, q
		}
	}
	return append(parts, [2]point{from, end})
}
