//go:build linux

package test

import (
	"math"
	"testing"

	"github.com/anishathalye/porcupine"
)

// operation is what a client asks of the store.
type operation struct {
	verb, key, old, value string
}

// line is the operation as it is sent.
func (o operation) line() string {
	switch o.verb {
	case "GET":
		return "GET " + o.key
	case "CAS":
		return "CAS " + o.key + " " + o.old + " " + o.value
	}
	return o.verb + " " + o.key + " " + o.value
}

// unknown stands for the answer of an operation that has none: it may take effect at any time after its beginning, or never.
const unknown = "unknown"

// storeModel is what the store is to its clients if every operation takes effect at one moment between its beginning and its answer.
var storeModel = porcupine.Model{
	Partition: byKey,
	Init:      func() any { return noValue },
	Step: func(state, input, output any) (bool, any) {
		value, o, answer := state.(string), input.(operation), output.(string)
		next, right := value, "ok"
		switch o.verb {
		case "GET":
			right = "=" + value
		case "SET":
			next = o.value
		case "APPEND":
			next = value + o.value
			right = "=" + next
		case "CAS":
			right = "no"
			if value == o.old {
				next, right = o.value, "yes"
			}
		}
		return answer == right || answer == unknown, next
	},
	DescribeOperation: func(input, output any) string { return input.(operation).line() + ": " + output.(string) },
}

// byKey takes a history apart: what happens to one key is independent of all others.
func byKey(history []porcupine.Operation) (parts [][]porcupine.Operation) {
	number := make(map[string]int)
	for _, h := range history {
		key := h.Input.(operation).key
		n, ok := number[key]
		if !ok {
			n = len(parts)
			number[key] = n
			parts = append(parts, nil)
		}
		parts[n] = append(parts[n], h)
	}
	return parts
}

// event is one operation of a history that is written by hand.
func event(begin, end int64, verb, value, answer string) porcupine.Operation {
	if answer == unknown {
		end = math.MaxInt64
	}
	o := operation{verb: verb, key: "k", value: value}
	if verb == "CAS" {
		o.old, o.value = value[:1], value[1:]
	}
	return porcupine.Operation{Input: o, Output: answer, Call: begin, Return: end}
}

// TestLinearChecker: histories that are right are accepted, and those that show what must never happen are refused.
func TestLinearChecker(t *testing.T) {
	for name, c := range map[string]struct {
		right   bool
		history []porcupine.Operation
	}{
		"one after another": {true, []porcupine.Operation{
			event(1, 2, "SET", "a", "ok"), event(3, 4, "APPEND", "b", "=ab"), event(5, 6, "GET", "", "=ab"), event(7, 8, "CAS", "xy", "no")}},
		"at once, in either order": {true, []porcupine.Operation{
			event(1, 9, "SET", "a", "ok"), event(2, 8, "SET", "b", "ok"), event(10, 11, "GET", "", "=a")}},
		"a stale read": {false, []porcupine.Operation{
			event(1, 2, "SET", "a", "ok"), event(3, 4, "SET", "b", "ok"), event(5, 6, "GET", "", "=a")}},
		"an acknowledged write that is gone": {false, []porcupine.Operation{
			event(1, 2, "APPEND", "a", "=-a"), event(3, 4, "GET", "", "=-")}},
		"carried out twice": {false, []porcupine.Operation{
			event(1, 2, "APPEND", "a", "=-a"), event(3, 4, "GET", "", "=-aa")}},
		"carried out twice, as the writer is told": {false, []porcupine.Operation{event(1, 2, "APPEND", "a", "=-aa")}},
		"an older write once more behind a newer one": {false, []porcupine.Operation{
			event(1, 9, "SET", "a", "ok"), event(2, 3, "GET", "", "=a"), event(4, 5, "SET", "b", "ok"), event(6, 7, "GET", "", "=b"),
			event(8, 9, "GET", "", "=a")}},
		"unknown, and never carried out": {true, []porcupine.Operation{
			event(1, 2, "APPEND", "a", unknown), event(3, 4, "GET", "", "=-")}},
		"unknown, and carried out late": {true, []porcupine.Operation{
			event(1, 2, "APPEND", "a", unknown), event(3, 4, "GET", "", "=-"), event(5, 6, "GET", "", "=-a")}},
		"unknown, and carried out twice": {false, []porcupine.Operation{
			event(1, 2, "APPEND", "a", unknown), event(3, 4, "GET", "", "=-a"), event(5, 6, "GET", "", "=-aa")}},
		"unknown, carried out and taken back": {false, []porcupine.Operation{
			event(1, 2, "APPEND", "a", unknown), event(3, 4, "GET", "", "=-a"), event(5, 6, "GET", "", "=-")}},
		"seen before it was begun": {false, []porcupine.Operation{
			event(1, 2, "GET", "", "=-a"), event(3, 4, "APPEND", "a", unknown)}},
		"two that both changed the same": {false, []porcupine.Operation{
			event(1, 9, "CAS", "-x", "yes"), event(2, 8, "CAS", "-y", "yes")}},
	} {
		if porcupine.CheckOperations(storeModel, c.history) != c.right {
			t.Errorf("%s: the checker says %v", name, !c.right)
		}
	}
}
