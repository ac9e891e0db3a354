// Package advisory knows what cryptography a build of this program is made of, proves that it is what the rest of the world
// builds with, and says when something in it has to be replaced. In a static binary an update of a crypto library is an update
// of the binary, so the package tells and never installs anything.
//
//	inventory, err := advisory.Read()                               // what is in this binary
//	report, err := advisory.Prove(ctx, inventory.Modules, proof)    // module hashes against the Go checksum database
//	report, err := advisory.Scan(ctx, source, inventory, symbols)   // known vulnerabilities, and whether the code is in here
//	release, err := advisory.Latest(ctx, source, key, …)            // a signed list of releases
//	bulletin, err := advisory.OpenBulletin(signed, key)             // cipher suites to be used no more
//
// A [Source] is a directory of recorded answers or an address; nothing is asked of a network that no caller named. What a source
// says is read within bounds of size and time, and believed only as far as a signature or a Merkle proof goes. Whatever cannot be
// told is [Unknown]: no question is answered well by default.
//
// The package starts no goroutine and keeps no global. A [Checker] may be used concurrently; everything else is plain values.
package advisory
