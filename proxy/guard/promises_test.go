package guard_test

import (
	"testing"

	"mtguard/proxy/guard"
	"mtguard/proxy/guard/guardtest"
)

// Every check keeps its promises.
func TestPromises(t *testing.T) {
	for _, c := range []guard.Check{
		guard.TotalConnections{}, guard.PerAddress{}, guard.PerNetwork{}, guard.AddressRules{}, guard.OriginRules{}, guard.HelloRules{},
		guard.NewAcceptRate(1 << 10), guard.NewFailureRate(1 << 10), guard.UserLevel{}, guard.PerUser{}, guard.PerKey{}, guard.AddressesPerUser{},
		guard.MinTransport{}, guard.AllowedTransports{}, guard.SecretStrength{}, guard.NewOverload(func() guard.Pressure { return guard.Pressure{} }), guard.NewSuspects(1 << 10),
	} {
		t.Run(c.Name(), func(t *testing.T) { guardtest.Run(t, c) })
	}
}
