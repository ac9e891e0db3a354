package pages

import "strings"

const (
	tokenBytes  = 16 // 128 bits
	tokenLength = 22 // tokenBytes in base64url without padding
	// lastLetters are those that can end a token: the last letter carries two bits.
	lastLetters = "AQgw"
)

// Path returns the path of the page with token.
func Path(token string) string { return "/u/" + token }

// pagePath is what a request's path says. It names a token or it does not; whether the token is one that exists is not known yet.
type pagePath struct {
	token    string // "": none
	document bool   // the form for programs is asked for
	before   string
	after    string
}

// parsePath reads a decoded path: ".../u/" and a token, whatever path the pages have been put below. ".json" behind the token asks for the
// document. Anything else behind it that cannot belong to a token is passed over: chat programs put the full stop or the bracket behind an
// address into the link, and the holder should see the page all the same.
func parsePath(path string) pagePath {
	at := strings.LastIndex(path, "/u/")
	if at < 0 {
		return pagePath{}
	}
	before, rest := path[:at+len("/u/")], path[at+len("/u/"):]
	if len(rest) < tokenLength || !isToken(rest[:tokenLength]) {
		return pagePath{}
	}
	token, after := rest[:tokenLength], rest[tokenLength:]
	if after != "" && isTokenLetter(after[0]) {
		return pagePath{}
	}
	return pagePath{token: token, document: after == ".json", before: before, after: after}
}

// replaced is the path with another token.
func (p pagePath) replaced(token string) string { return p.before + token + p.after }

// isToken reports whether text, of tokenLength bytes, is 16 bytes in base64url in the only way they are written.
func isToken(text string) bool {
	for i := range len(text) {
		if !isTokenLetter(text[i]) {
			return false
		}
	}
	return strings.IndexByte(lastLetters, text[tokenLength-1]) >= 0
}

func isTokenLetter(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_'
}

// maxAcceptItems bounds what is read of an Accept or Accept-Language field.
const maxAcceptItems = 16

// acceptItems calls yield for the values of an Accept or Accept-Language field and their weights, RFC 9110 section 12.4.2, in thousandths. A
// weight that is none counts as 0.
func acceptItems(fields []string, yield func(value string, weight int)) {
	left := maxAcceptItems
	for _, field := range fields {
		for item := range strings.SplitSeq(field, ",") {
			if left--; left < 0 {
				return
			}
			value, parameters, _ := strings.Cut(item, ";")
			weight := 1000
			for p := range strings.SplitSeq(parameters, ";") {
				if name, q, ok := strings.Cut(strings.TrimSpace(p), "="); ok && strings.EqualFold(name, "q") {
					weight = parseWeight(q)
				}
			}
			yield(strings.ToLower(strings.TrimSpace(value)), weight)
		}
	}
}

// parseWeight reads 0, 1 or a fraction of at most three digits.
func parseWeight(q string) int {
	whole, fraction, _ := strings.Cut(q, ".")
	if whole == "1" && strings.Trim(fraction, "0") == "" {
		return 1000
	}
	if whole != "0" || len(fraction) > 3 {
		return 0
	}
	weight := 0
	for _, c := range []byte((fraction + "000")[:3]) {
		if c < '0' || c > '9' {
			return 0
		}
		weight = weight*10 + int(c-'0')
	}
	return weight
}

// prefersJSON reports whether an Accept field names JSON and does not like HTML as much.
func prefersJSON(accept []string) bool {
	var json, html int
	acceptItems(accept, func(value string, weight int) {
		switch value {
		case "application/json":
			json = max(json, weight)
		case "text/html", "application/xhtml+xml":
			html = max(html, weight)
		}
	})
	return json > html
}
