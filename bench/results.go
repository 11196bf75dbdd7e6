package main

import "math"

// sample is what one system did in one round of one workload.
type sample struct {
	Workload string             `json:"workload"`
	System   string             `json:"system"`
	Round    int                `json:"round"` // from 0
	Values   map[string]float64 `json:"values,omitempty"`
	Foreign  float64            `json:"foreign"` // share of the machine that others used meanwhile, 0 to 1
	Error    string             `json:"error,omitempty"`
}

// noisyShare is the foreign share of the machine from which on a sample is marked.
const noisyShare = 0.08

func (s sample) noisy() bool { return s.Foreign > noisyShare }

// results holds all samples of a run.
type results struct {
	Rounds  int      `json:"rounds"`
	Samples []sample `json:"samples"`
}

// values is one figure of one system, a place for each round; NaN where there is no sample.
func (r *results) values(workload, system, figure string) []float64 {
	out := make([]float64, r.Rounds)
	for i := range out {
		out[i] = math.NaN()
	}
	for _, s := range r.Samples {
		if v, ok := s.Values[figure]; ok && s.Workload == workload && s.System == system {
			out[s.Round] = v
		}
	}
	return out
}

// marks counts the samples of one system in one workload that are noisy, and those that failed; reason is of the first.
func (r *results) marks(workload, system string) (noisy, failed int, reason string) {
	for _, s := range r.Samples {
		if s.Workload != workload || s.System != system {
			continue
		}
		switch {
		case s.Error != "":
			failed++
			if reason == "" {
				reason = s.Error
			}
		case s.noisy():
			noisy++
		}
	}
	return noisy, failed, reason
}
