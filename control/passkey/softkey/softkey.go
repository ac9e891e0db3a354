// Package softkey is an authenticator in software, for tests: it makes passkeys and
// answers challenges as a browser with a device would, and can do it wrong.
package softkey

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
)

// Key is one passkey on a device.
type Key struct {
	Raw, Handle []byte
	Host        string
	Origin      string // of the browser
	Count       uint32 // signatures so far
	// What the device does wrong: it does not verify its person; it stands in a page of
	// another party.
	Unverified bool
	OtherHost  string

	private *ecdsa.PrivateKey
}

type options struct {
	Challenge string `json:"challenge"`
	RPID      string `json:"rpId"`
	RP        struct {
		ID string `json:"id"`
	} `json:"rp"`
	User struct {
		ID string `json:"id"`
	} `json:"user"`
	Allow   []descriptor `json:"allowCredentials"`
	Exclude []descriptor `json:"excludeCredentials"`
	UV      string       `json:"userVerification"`
}

type descriptor struct {
	ID string `json:"id"`
}

var b64 = base64.RawURLEncoding

// Make answers what BeginRegister asks, in a browser at origin.
func Make(asked json.RawMessage, origin string) (*Key, json.RawMessage, error) {
	var o options
	if err := json.Unmarshal(asked, &o); err != nil {
		return nil, nil, err
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	handle, err := b64.DecodeString(o.User.ID)
	if err != nil {
		return nil, nil, err
	}
	k := &Key{Raw: make([]byte, 32), Handle: handle, Host: o.RP.ID, Origin: origin, private: private}
	rand.Read(k.Raw)
	public, err := private.PublicKey.ECDH()
	if err != nil {
		return nil, nil, err
	}
	point := public.Bytes() // 4, x, y
	cose := []byte{0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 32}
	cose = append(cose, point[1:33]...)
	cose = append(cose, 0x22, 0x58, 32)
	cose = append(cose, point[33:]...)

	data := k.authenticatorData(0x45) // present, verified, with a key
	data = append(data, make([]byte, 16)...)
	data = binary.BigEndian.AppendUint16(data, uint16(len(k.Raw)))
	data = append(append(data, k.Raw...), cose...)

	object := []byte{0xa3, 0x63, 'f', 'm', 't', 0x64, 'n', 'o', 'n', 'e', 0x67, 'a', 't', 't', 'S', 't', 'm', 't', 0xa0, 0x68, 'a', 'u', 't', 'h', 'D', 'a', 't', 'a', 0x59}
	object = binary.BigEndian.AppendUint16(object, uint16(len(data)))
	object = append(object, data...)
	answer, err := json.Marshal(map[string]any{
		"id": b64.EncodeToString(k.Raw), "rawId": b64.EncodeToString(k.Raw), "type": "public-key", "clientExtensionResults": map[string]any{},
		"response": map[string]any{
			"clientDataJSON": b64.EncodeToString(k.clientData("webauthn.create", o.Challenge)), "attestationObject": b64.EncodeToString(object), "transports": []string{"internal"},
		},
	})
	return k, answer, err
}

// Sign answers what BeginLogin asks.
func (k *Key) Sign(asked json.RawMessage) (json.RawMessage, error) {
	var o options
	if err := json.Unmarshal(asked, &o); err != nil {
		return nil, err
	}
	if o.UV != "required" {
		return nil, errors.New("softkey: nobody asks for verification")
	}
	k.Count++
	flags := byte(0x05)
	if k.Unverified {
		flags = 0x01
	}
	data := k.authenticatorData(flags)
	client := k.clientData("webauthn.get", o.Challenge)
	hash := sha256.Sum256(client)
	digest := sha256.Sum256(append(data[:len(data):len(data)], hash[:]...))
	signature, err := ecdsa.SignASN1(rand.Reader, k.private, digest[:])
	if err != nil {
		return nil, err
	}
	return json.Marshal(map[string]any{
		"id": b64.EncodeToString(k.Raw), "rawId": b64.EncodeToString(k.Raw), "type": "public-key", "clientExtensionResults": map[string]any{},
		"response": map[string]any{
			"clientDataJSON": b64.EncodeToString(client), "authenticatorData": b64.EncodeToString(data),
			"signature": b64.EncodeToString(signature), "userHandle": b64.EncodeToString(k.Handle),
		},
	})
}

func (k *Key) authenticatorData(flags byte) []byte {
	host := k.Host
	if k.OtherHost != "" {
		host = k.OtherHost
	}
	sum := sha256.Sum256([]byte(host))
	return binary.BigEndian.AppendUint32(append(sum[:], flags), k.Count)
}

func (k *Key) clientData(kind, challenge string) []byte {
	b, err := json.Marshal(map[string]any{"type": kind, "challenge": challenge, "origin": k.Origin, "crossOrigin": false})
	if err != nil {
		panic(err) // it is plain text
	}
	return b
}
