package loop

// New makes the fastest loop that this system has: here, an Epoll.
func New() (Runner, error) {
	e, err := NewEpoll()
	if err != nil {
		return nil, err
	}
	return e, nil
}
