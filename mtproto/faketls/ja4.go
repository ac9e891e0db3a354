package faketls

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
)

const (
	extSignatureAlgorithms = 0x000d
	extALPN                = 0x0010
)

// JA4 is the fingerprint of the hello in the form FoxIO publishes (JA4.md in
// github.com/FoxIO-LLC/ja4, BSD licence), 36 characters:
//
//	t13d1516h2_8daaf6152771_e5627efa2ab1
//
//	t             TLS over TCP
//	13            highest version of supported_versions, else the hello's own
//	d             with a server name; i without
//	15            number of cipher suites, at most 99
//	16            number of extensions, at most 99
//	h2            first and last character of the first ALPN value; 00 for none
//	8daaf6152771  first 12 hex digits of the SHA-256 of the sorted suites
//	e5627efa2ab1  the same of the sorted extensions without server name and ALPN,
//	              an underscore, and the signature algorithms in their order
//
// GREASE values (RFC 8701) count nowhere. What the hello holds has been checked
// only as far as ParseHello needs; where it is malformed beyond that, the
// fingerprint is of what can be read. It is computed anew by each call.
func (h *ClientHello) JA4() string {
	f := h.fingerprint()
	b := make([]byte, 0, 36)
	b = append(b, 't')
	b = append(b, versionCode(f.version)...)
	b = append(b, byte('i'))
	if f.named {
		b[3] = 'd'
	}
	b = appendCount(b, len(f.suites))
	b = appendCount(b, len(f.extensions)+f.left)
	b = append(b, f.alpn[0], f.alpn[1], '_')
	slices.Sort(f.suites)
	b = appendDigest(b, f.suites, nil)
	b = append(b, '_')
	slices.Sort(f.extensions)
	b = appendDigest(b, f.extensions, f.signatures)
	return string(b)
}

// fingerprint is what JA4 is made of, without GREASE.
type fingerprint struct {
	version    uint16
	named      bool
	alpn       [2]byte
	left       int // extensions that count but are not in extensions
	suites     []uint16
	extensions []uint16
	signatures []uint16
}

func (h *ClientHello) fingerprint() fingerprint {
	message := h.work[blockSize+HeaderSize:]
	f := fingerprint{version: binary.BigEndian.Uint16(message[4:]), alpn: [2]byte{'0', '0'}, suites: values(h.suites)}
	var parts fields
	if parts.read(message, len(message)) != nil { // was read by newHello
		return f
	}
	for ext := parts.extensions; len(ext) > 0; {
		kind, body, rest, ok := entry(ext)
		if !ok {
			break
		}
		ext = rest
		if grease(kind) {
			continue
		}
		switch kind {
		case extServerName:
			f.named = true
			f.left++
			continue
		case extALPN:
			f.alpn = alpnCode(body)
			f.left++
			continue
		case extSupportedVersions:
			if len(body) > 0 && len(body) > int(body[0]) {
				if all := values(body[1 : 1+int(body[0])]); len(all) > 0 {
					f.version = slices.Max(all)
				}
			}
		case extSignatureAlgorithms:
			if list, _, ok := vector(body); ok {
				f.signatures = values(list)
			}
		}
		f.extensions = append(f.extensions, kind)
	}
	return f
}

// values are numbers of two bytes each, without GREASE.
func values(b []byte) []uint16 {
	list := make([]uint16, 0, len(b)/2)
	for ; len(b) >= 2; b = b[2:] {
		if v := binary.BigEndian.Uint16(b); !grease(v) {
			list = append(list, v)
		}
	}
	return list
}

// grease tells whether a value is one that means nothing, sent so that servers get
// used to ignoring what they do not know (RFC 8701, section 2).
func grease(v uint16) bool { return v&0x0f0f == 0x0a0a && v>>8 == v&0xff }

func versionCode(v uint16) string {
	switch v {
	case 0x0304:
		return "13"
	case 0x0303:
		return "12"
	case 0x0302:
		return "11"
	case 0x0301:
		return "10"
	case 0x0300:
		return "s3"
	case 0x0002:
		return "s2"
	}
	return "00"
}

// alpnCode is the first and last character of the first protocol; when either is no
// letter or digit, those of its hex form.
func alpnCode(body []byte) [2]byte {
	list, _, ok := vector(body)
	if !ok || len(list) < 2 || list[0] == 0 || len(list) <= int(list[0]) {
		return [2]byte{'0', '0'}
	}
	first, last := list[1], list[int(list[0])]
	if alphanumeric(first) && alphanumeric(last) {
		return [2]byte{first, last}
	}
	const digits = "0123456789abcdef"
	return [2]byte{digits[first>>4], digits[last&15]}
}

func alphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z'
}

func appendCount(b []byte, n int) []byte {
	n = min(n, 99)
	return append(b, '0'+byte(n/10), '0'+byte(n%10))
}

// appendDigest adds the first 12 digits of the SHA-256 of the values in hex with
// commas between, and of more after an underscore; zeros when there is no value.
func appendDigest(b []byte, list, more []uint16) []byte {
	if len(list) == 0 {
		return append(b, "000000000000"...)
	}
	text := make([]byte, 0, 5*(len(list)+len(more)))
	text = appendList(text, list)
	if len(more) > 0 {
		text = appendList(append(text, '_'), more)
	}
	sum := sha256.Sum256(text)
	return hex.AppendEncode(b, sum[:6])
}

func appendList(text []byte, list []uint16) []byte {
	for i, v := range list {
		if i > 0 {
			text = append(text, ',')
		}
		text = hex.AppendEncode(text, []byte{byte(v >> 8), byte(v)})
	}
	return text
}
