package proxy

import (
	"encoding/json"
	"time"
	"unicode/utf8"

	"github.com/poolproxy/poolproxy/session"
)

// callbackExec is a failover callback that is a program (Callback.Exec). It is run for failovers, as a Rule is asked for them: not when a
// client has just connected. It reads where the session stands on its standard input, as
// one object of JSON, and what it writes to its standard output goes to the server: nothing, if it writes nothing, else one or
// several whole requests, 64 KiB at most. Any reply to them will do. An exit status other than 0, and a program that takes longer
// than its time, is a failed expectation: the session goes on to another element.
type callbackExec struct {
	runner  *runner
	user    string
	exec    []string
	timeout time.Duration
}

const defaultCallbackTimeout = 5 * time.Second

// callbackInput is what the program reads. What is not UTF-8 in text and state has U+FFFD in place of what is wrong.
type callbackInput struct {
	User     string `json:"pool_user"`
	Session  uint64 `json:"session"`
	Client   string `json:"client"`   // its address and port
	Leg      uint32 `json:"leg"`      // the new one: 1, 2, 3 ...
	Failover bool   `json:"failover"` // true
	Element  string `json:"pool_element"`
	Address  string `json:"address"` // the pool element's

	// The oldest request in flight, in base64 and, if it is UTF-8, as it is. Neither is there if no request is in flight, or it is
	// longer than 64 KiB.
	Request     []byte `json:"request,omitempty"`
	RequestText string `json:"request_text,omitempty"`
	ReplyBytes  int64  `json:"reply_bytes"` // bytes of its reply that the client has

	State map[string]map[string]string `json:"state,omitempty"` // what state blocks have captured, by block and name
}

// Call runs the program (session.Callback).
func (c *callbackExec) Call(at session.Moment, answer func(session.Reaction, error)) {
	if !at.Failover {
		answer(session.Reaction{}, nil)
		return
	}
	in := callbackInput{User: c.user, Session: at.Session, Client: at.Client, Leg: at.Leg, Failover: at.Failover, Element: at.Element,
		Address: at.Address, Request: at.Request, ReplyBytes: at.ReplyBytes, State: at.State}
	if utf8.Valid(at.Request) {
		in.RequestText = string(at.Request)
	}
	input, err := json.Marshal(in)
	if err != nil {
		panic(err) // it is made of strings and numbers
	}
	c.runner.run(job{args: c.exec, input: input, timeout: c.timeout}, func(output []byte, err error) {
		answer(session.Reaction{Send: output}, err)
	})
}

// makeCallbacks turns the configured callbacks into those of the rules.
func (u *userSide) makeCallbacks() (callbacks []session.Callback) {
	for _, c := range u.config.Callbacks {
		if len(c.Exec) == 0 {
			callbacks = append(callbacks, c.Rule)
			continue
		}
		if u.programs == nil {
			u.programs = newRunner(u.shard.loop, u.shard.log.Named(u.config.Name), u.block.slots)
		}
		if c.Timeout <= 0 {
			c.Timeout = defaultCallbackTimeout
		}
		callbacks = append(callbacks, &callbackExec{runner: u.programs, user: u.config.Name, exec: c.Exec, timeout: c.Timeout})
	}
	return callbacks
}
