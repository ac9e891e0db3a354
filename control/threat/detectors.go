package threat

// Detectors are all detectors, fresh.
func Detectors() []Detector {
	return []Detector{
		NewProbeScan(),
		NewPersistence(),
	}
}
