package asap

import "fmt"

// HandleResolution asks for the elements of a pool (RFC 5352 §2.2.5).
type HandleResolution struct {
	unruled
	Updates bool // the S flag: tell of changes of the pool as well, as long as the association lasts
	Handle  PoolHandle
	Items   uint32 // elements asked for, see ResolutionOption. 0 is written as no option
}

// HandleResolutionResponse answers a HandleResolution, or tells of a change (RFC 5352 §2.2.6).
type HandleResolutionResponse struct {
	Updates  bool // the A flag: changes will be told
	Handle   PoolHandle
	Policy   *Policy        // the pool's; nil is RoundRobin. Only its Kind counts: rsplib copies the rest from the first element
	Elements []PoolElement  // at least one, unless there are errors. A message has room for about 2300
	Errors   OperationError // why there is no answer; then there are no policy and no elements
}

func (HandleResolution) Type() MessageType         { return TypeHandleResolution }
func (HandleResolutionResponse) Type() MessageType { return TypeHandleResolutionResponse }

func (m HandleResolution) flagged() bool         { return m.Updates }
func (m HandleResolutionResponse) flagged() bool { return m.Updates }

func (m HandleResolutionResponse) check() error {
	negative := len(m.Errors) != 0
	switch {
	case negative && (m.Policy != nil || len(m.Elements) != 0):
		return fmt.Errorf("%w: a negative response has no policy and no elements (RFC 5352 §2.2.6)", ErrMisplaced)
	case !negative && len(m.Elements) == 0:
		return fmt.Errorf("%w: a positive one has at least one (RFC 5352 §2.2.6)", missing(ParameterPoolElement))
	}
	return nil
}

func (m HandleResolution) appendBody(w *writer) {
	w.parameter(m.Handle)
	if m.Items != 0 {
		w.parameter(ResolutionOption(m.Items))
	}
}

func (m HandleResolutionResponse) appendBody(w *writer) {
	w.parameter(m.Handle)
	w.policyAndElements(m.Policy, m.Elements)
	w.errors(m.Errors)
}

// policyAndElements writes what is told of a pool.
func (w *writer) policyAndElements(policy *Policy, elements []PoolElement) {
	if policy != nil {
		w.parameter(*policy)
	}
	for _, e := range elements {
		w.parameter(e)
	}
}

func buildHandleResolution(p *parts) Message {
	return HandleResolution{Updates: p.flag, Handle: p.handle, Items: p.items}
}

func buildHandleResolutionResponse(p *parts) Message {
	return HandleResolutionResponse{Updates: p.flag, Handle: p.handle, Policy: p.policy, Elements: p.elements, Errors: p.errors}
}
