package links

import (
	"strings"

	"rsc.io/qr"
)

// quietZone is half of what the standard asks for. Phones read it, and with it a fake-TLS link
// fits a console of 80 × 24.
const quietZone = 2

// QR draws text as a QR code of half-block characters, two rows in a line, with a light border.
// With colour it is black on white by escape sequences; without, it is drawn for light
// characters on a dark ground, which most readers also take the other way round.
func QR(text string, colour bool) (string, error) {
	code, err := qr.Encode(text, qr.L)
	if err != nil {
		return "", err
	}
	// A half is drawn in the foreground: dark modules in black, or light ones in
	// whatever the terminal's foreground is.
	drawn := func(x, y int) bool { return code.Black(x, y) == colour && y < code.Size+quietZone }
	var out strings.Builder
	for y := -quietZone; y < code.Size+quietZone; y += 2 {
		if colour {
			out.WriteString("\x1b[38;5;16;48;5;231m")
		}
		for x := -quietZone; x < code.Size+quietZone; x++ {
			switch top, bottom := drawn(x, y), drawn(x, y+1); {
			case top && bottom:
				out.WriteRune('█')
			case top:
				out.WriteRune('▀')
			case bottom:
				out.WriteRune('▄')
			default:
				out.WriteByte(' ')
			}
		}
		if colour {
			out.WriteString("\x1b[0m")
		}
		out.WriteByte('\n')
	}
	return out.String(), nil
}
