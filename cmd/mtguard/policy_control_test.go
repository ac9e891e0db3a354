package main

import (
	"testing"

	"mtguard/control"
)

func TestCostOfAControl(t *testing.T) {
	for want, info := range map[string]control.ControlInfo{
		"":            {},
		"0.3 µs":      {CostSamples: 4, CostMicros: 0.34, CostMonitorMicros: 0.34},
		"1.5 µs":      {CostSamples: 4, CostMicros: 1.5, CostEnforcedMicros: 1.5},
		"0.5, 0.2 µs": {CostSamples: 9, CostMicros: 0.3, CostEnforcedMicros: 0.5, CostMonitorMicros: 0.2},
	} {
		if got := costText(info); got != want {
			t.Errorf("%+v: %q, want %q", info, got, want)
		}
	}
}
