package board

import (
	"embed"
	"net/http"
)

//go:embed page
var files embed.FS

// policy is the page's Content-Security-Policy: scripts, styles and events of its own only, nothing inline, nobody's frame.
// Whatever a peer puts into a name or an error stays text.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"

// assets are the files of the page, by path.
var assets = map[string]struct{ file, kind string }{
	"/{$}":           {"page/index.html", "text/html; charset=utf-8"},
	"/dashboard.css": {"page/dashboard.css", "text/css; charset=utf-8"},
	"/dashboard.svg": {"page/dashboard.svg", "image/svg+xml"},
	"/lists.js":      {"page/lists.js", "text/javascript; charset=utf-8"},
	"/failovers.js":  {"page/failovers.js", "text/javascript; charset=utf-8"},
	"/drains.js":     {"page/drains.js", "text/javascript; charset=utf-8"},
	"/dashboard.js":  {"page/dashboard.js", "text/javascript; charset=utf-8"},
}

// Routes adds the page, its events and its lists to an admin API.
func (b *Board) Routes(mux *http.ServeMux) {
	for path, a := range assets {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) {
			text, err := files.ReadFile(a.file)
			if err != nil { // it is not in the binary, which a test excludes
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			h := w.Header()
			h.Set("Content-Type", a.kind)
			h.Set("Content-Security-Policy", policy)
			h.Set("X-Content-Type-Options", "nosniff")
			h.Set("Referrer-Policy", "no-referrer")
			h.Set("Cross-Origin-Opener-Policy", "same-origin")
			h.Set("Cache-Control", "no-cache") // a new version of the program has another page
			w.Write(text)                      // an error is the client's: it has gone
		})
	}
	mux.HandleFunc("GET /v1/events", own(b.events))
	mux.HandleFunc("GET /v1/sessions", own(b.sessions))
}

// own refuses what a page of another origin asks for. It could not read the answer, but have the proxy looked at, and take the
// place of readers. Programs do not send the header.
func own(serve http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch r.Header.Get("Sec-Fetch-Site") {
		case "", "none", "same-origin":
			serve(w, r)
		default:
			http.Error(w, "this is not for pages of other origins", http.StatusForbidden)
		}
	}
}
