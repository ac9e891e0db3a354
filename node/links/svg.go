package links

import (
	"strconv"
	"strings"

	"rsc.io/qr"
)

// margin is the light border around a code that is printed or shown on a page: the four modules
// of ISO/IEC 18004. Space is not short there, and the code may stand on a dark ground.
const margin = 4

// SVG draws text as a QR code: black on white with a border, one unit for each module, of
// whatever size the reader gives it. It stands alone: nothing in it is loaded from elsewhere.
func SVG(text string) (string, error) {
	code, err := encode(text)
	if err != nil {
		return "", err
	}
	side := strconv.Itoa(code.Size + 2*margin)
	var out strings.Builder
	out.WriteString(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ` + side + " " + side + `" shape-rendering="crispEdges">`)
	out.WriteString(`<path fill="#fff" d="M0,0h` + side + "v" + side + `H0z"/><path stroke="#000" d="`)
	for y := range code.Size {
		writeRow(&out, code, y)
	}
	out.WriteString(`"/></svg>`)
	return out.String(), nil
}

// encode chooses the error correction: M, so that a print may get a stain, but L where the modules
// would become so many that cameras fail at them first.
func encode(text string) (*qr.Code, error) {
	code, err := qr.Encode(text, qr.M)
	if err == nil && code.Size <= manyModules {
		return code, nil
	}
	return qr.Encode(text, qr.L)
}

// manyModules a side are those of version 10, which takes 213 bytes at M. A link with the longest
// cover name has 81 at M and 73 at L.
const manyModules = 57

// writeRow strokes the dark runs of a row along its middle. Commas, not spaces, part the numbers:
// in a data: address they need no escape.
func writeRow(out *strings.Builder, code *qr.Code, y int) {
	at := -1 // where the pen is; -1 while it has not been set down in this row
	for x := 0; x < code.Size; x++ {
		if !code.Black(x, y) {
			continue
		}
		end := x
		for code.Black(end, y) {
			end++
		}
		if at < 0 {
			out.WriteString("M" + strconv.Itoa(x+margin) + "," + strconv.Itoa(y+margin) + ".5")
		} else {
			out.WriteString("m" + strconv.Itoa(x-at) + ",0")
		}
		out.WriteString("h" + strconv.Itoa(end-x))
		at, x = end, end
	}
}
