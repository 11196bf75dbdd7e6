package admin

import (
	"errors"
	"net/http"
)

// ErrUnknownElement is wrapped by the errors of Drains where there is no such element.
var ErrUnknownElement = errors.New("unknown element")

// Drains is how operators have the sessions of an element leave it. What State returns is made JSON; the answer to all requests is that.
type Drains struct {
	Begin func(element string) error        // PUT /v1/drains/{element}
	End   func(element string) error        // DELETE
	State func(element string) (any, error) // GET
}

func (d *Drains) routes(mux *http.ServeMux) {
	none := func(string) error { return nil }
	mux.HandleFunc("PUT /v1/drains/{element}", d.serve(d.Begin))
	mux.HandleFunc("DELETE /v1/drains/{element}", d.serve(d.End))
	mux.HandleFunc("GET /v1/drains/{element}", d.serve(none))
}

// serve does something with the element, and answers with its state behind that.
func (d *Drains) serve(do func(element string) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		element := r.PathValue("element")
		if err := do(element); err != nil {
			fail(w, err)
			return
		}
		state, err := d.State(element)
		if err != nil {
			fail(w, err)
			return
		}
		answer(w, http.StatusOK, state)
	}
}
