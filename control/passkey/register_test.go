package passkey

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"math/big"
	"testing"
	"time"

	"mtguard/control/passkey/softkey"
)

// registration is an answer to BeginRegister, taken apart.
type registration struct {
	rest     map[string]any
	response map[string]any
	client   []byte // JSON
	data     []byte // of the authenticator
}

var authDataKey = append([]byte{0x68}, "authData"...)

// registered is a good answer.
func registered(t *testing.T, p *Passkeys) *registration {
	t.Helper()
	asked, err := p.BeginRegister(here, nadia, "s1", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, answer, err := softkey.Make(asked, here.Origin)
	if err != nil {
		t.Fatal(err)
	}
	r := &registration{}
	if err := json.Unmarshal(answer, &r.rest); err != nil {
		t.Fatal(err)
	}
	r.response = r.rest["response"].(map[string]any)
	object, err := base64.RawURLEncoding.DecodeString(r.response["attestationObject"].(string))
	if err != nil {
		t.Fatal(err)
	}
	if r.client, err = base64.RawURLEncoding.DecodeString(r.response["clientDataJSON"].(string)); err != nil {
		t.Fatal(err)
	}
	_, data, ok := bytes.Cut(object, authDataKey)
	if !ok {
		t.Fatal("there is no data of the authenticator")
	}
	r.data = data[3:] // behind its length
	return r
}

// with is the answer with an attestation of a format; statement is CBOR.
func (r *registration) with(t *testing.T, format string, statement []byte) []byte {
	t.Helper()
	object := append([]byte{0xa3, 0x63}, "fmt"...)
	object = append(append(object, 0x60+byte(len(format))), format...)
	object = append(append(append(object, 0x67), "attStmt"...), statement...)
	object = append(append(object, authDataKey...), 0x59)
	object = append(binary.BigEndian.AppendUint16(object, uint16(len(r.data))), r.data...)
	r.response["attestationObject"] = base64.RawURLEncoding.EncodeToString(object)
	answer, err := json.Marshal(r.rest)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// cborBytes is a byte string of 256 bytes at least.
func cborBytes(b []byte) []byte {
	return append(binary.BigEndian.AppendUint16([]byte{0x59}, uint16(len(b))), b...)
}

// signedByMaker is a statement as old security keys make it, in which all is right: the
// maker's certificate, and a signature over what was made.
func (r *registration) signedByMaker(t *testing.T) []byte {
	t.Helper()
	maker, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	form := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	certificate, err := x509.CreateCertificate(rand.Reader, form, form, &maker.PublicKey, maker)
	if err != nil {
		t.Fatal(err)
	}
	const idAt = 32 + 1 + 4 + 16 + 2 // behind the hash of the host, flags, counter, kind of device and length
	id := r.data[idAt : idAt+32]
	cose := r.data[idAt+32:]
	hash := sha256.Sum256(r.client)
	text := append([]byte{0}, r.data[:32]...)
	text = append(append(append(text, hash[:]...), id...), 4)
	text = append(append(text, cose[10:42]...), cose[45:77]...)
	digest := sha256.Sum256(text)
	signature, err := ecdsa.SignASN1(rand.Reader, maker, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	statement := append([]byte{0xa2, 0x63}, "x5c"...)
	statement = append(append(statement, 0x81), cborBytes(certificate)...)
	statement = append(append(statement, 0x63), "sig"...)
	return append(append(statement, 0x58, byte(len(signature))), signature...)
}

// TestWhatADeviceHasToProve when it makes a passkey: that it knows its person, and nothing
// about its maker.
func TestWhatADeviceHasToProve(t *testing.T) {
	p := New()
	none := []byte{0xa0}
	if _, err := p.FinishRegister(here, nadia, "s1", registered(t, p).with(t, "none", none)); err != nil {
		t.Fatalf("a good answer: %v", err)
	}
	unverified := registered(t, p)
	const flagsAt, verified = 32, 0x04
	unverified.data[flagsAt] &^= verified
	if _, err := p.FinishRegister(here, nadia, "s1", unverified.with(t, "none", none)); err == nil {
		t.Error("a passkey is enrolled whose device has verified nobody")
	}
	old := registered(t, p)
	if _, err := p.FinishRegister(here, nadia, "s1", old.with(t, "fido-u2f", old.signedByMaker(t))); err == nil {
		t.Error("an attestation is looked into that nobody asked for")
	}
}
