package freeze

import (
	"maps"
	"slices"
)

// List shows a list, each of whose items f shows. nil and empty are the same. An item takes a byte at least, so what is thawed bounds how many
// there can be.
func List[T any](c *Coder, list *[]T, f func(*T)) {
	n := c.uint(uint64(len(*list)))
	if !c.thaws {
		for i := range *list {
			f(&(*list)[i])
		}
		return
	}
	*list = nil
	if !c.Check(n <= uint64(len(c.data)), "%d items are announced, %d bytes are left", n, len(c.data)) {
		return
	}
	for ; n > 0 && c.err == nil; n-- { // the list grows with what has come, and not with what was announced
		var x T
		f(&x)
		*list = append(*list, x)
	}
}

// Map shows a map by its keys in order. nil and empty are told apart.
func Map[K interface{ ~string }, V any](c *Coder, m *map[K]V, f func(*V)) {
	set := *m != nil
	if c.Bool(&set); !set {
		*m = nil
		return
	}
	if !c.thaws {
		keys := slices.Sorted(maps.Keys(*m))
		List(c, &keys, func(k *K) {
			text, v := string(*k), (*m)[*k]
			c.Text(&text)
			f(&v)
		})
		return
	}
	*m = make(map[K]V)
	var keys []K
	List(c, &keys, func(*K) {
		var text string
		var v V
		c.Text(&text)
		f(&v)
		_, twice := (*m)[K(text)]
		c.Check(!twice, "a key comes twice")
		(*m)[K(text)] = v
	})
}

// Maybe shows what there may be or not; f shows it.
func Maybe[T any](c *Coder, p **T, f func(*T)) {
	set := *p != nil
	if c.Bool(&set); !set {
		if c.thaws {
			*p = nil
		}
		return
	}
	if c.thaws {
		*p = new(T)
	}
	f(*p)
}

// Shared shows what several may refer to: it is frozen once, and thawed, they refer to the same again. f shows it; it must not lead back to
// the same object. nil stays nil.
func Shared[T any](c *Coder, p **T, f func(*T)) { SharedIn(c, p, func() *T { return new(T) }, f) }

// SharedIn is Shared for what is a part of something that fresh makes.
func SharedIn[T any](c *Coder, p **T, fresh func() *T, f func(*T)) {
	if !c.thaws {
		if c.refer(*p, *p == nil) {
			f(*p)
		}
		return
	}
	*p = nil
	switch n := c.uint(0); {
	case c.err != nil || n == 0:
	case n <= uint64(len(c.objects)):
		x, ok := c.objects[n-1].(*T)
		if c.Check(ok, "object %d is of another kind", n) {
			*p = x
		}
	case c.Check(n == uint64(len(c.objects))+1, "object %d is referred to before it came", n):
		*p = fresh()
		c.objects = append(c.objects, *p)
		f(*p)
	}
}

// refer freezes a reference, and reports whether it is the first one to its object.
func (c *Coder) refer(p any, none bool) (first bool) {
	if none {
		c.uint(0)
		return false
	}
	n, known := c.numbers[p]
	if !known {
		if c.numbers == nil {
			c.numbers = make(map[any]uint64)
		}
		n = uint64(len(c.numbers)) + 1
		c.numbers[p] = n
	}
	c.uint(n)
	return !known
}
