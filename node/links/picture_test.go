package links

import (
	"bytes"
	"encoding/xml"
	"image/png"
	"io"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"rsc.io/qr"
)

var pictureTexts = map[string]string{
	"a fake-TLS link": "tg://proxy?server=203.0.113.7&port=443&secret=ee" + plain + "7777772e6578616d706c652e636f6d",
	"a page":          "https://links.example.com/u/4YbT0m1xQpW9vN2sKfLr8A",
	"digits":          "1234567890",
	"markup":          `<svg onload="x">&amp;'`,
	"a long name":     "tg://proxy?server=203.0.113.7&port=443&secret=ee" + strings.Repeat("61", 16+182),
	"the longest":     strings.Repeat("x", 2953), // version 40 at level L
}

// matrix is the code with its border, as both pictures must show it.
func matrix(t *testing.T, text string) [][]bool {
	t.Helper()
	level := qr.M
	if len(text) > 213 {
		level = qr.L
	}
	code, err := qr.Encode(text, level)
	if err != nil {
		t.Fatal(err)
	}
	rows := make([][]bool, code.Size+8)
	for y := range rows {
		rows[y] = make([]bool, code.Size+8)
		for x := range rows[y] {
			rows[y][x] = code.Black(x-4, y-4)
		}
	}
	return rows
}

func TestSVGShowsTheCodeInBlackOnWhiteWithABorderOfFour(t *testing.T) {
	for name, text := range pictureTexts {
		svg, err := SVG(text)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		compare(t, name, readSVG(t, svg), matrix(t, text))
	}
}

func TestPNGShowsTheSameCode(t *testing.T) {
	for name, text := range pictureTexts {
		for _, scale := range []int{1, 3} {
			data, err := PNG(text, scale)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			picture, err := png.Decode(bytes.NewReader(data))
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			want := matrix(t, text)
			side := picture.Bounds().Dx()
			if side != len(want)*scale || side != picture.Bounds().Dy() {
				t.Fatalf("%s: %v, want %d a side", name, picture.Bounds(), len(want)*scale)
			}
			for y := range side {
				for x := range side {
					r, g, b, a := picture.At(x, y).RGBA()
					dark := r == 0 && g == 0 && b == 0
					if light := r == 0xffff && g == 0xffff && b == 0xffff; a != 0xffff || dark == light || dark != want[y/scale][x/scale] {
						t.Fatalf("%s at scale %d: pixel %d, %d is %x %x %x %x", name, scale, x, y, r, g, b, a)
					}
				}
			}
		}
	}
}

// A page with the picture inside stays below 15 kB, and a picture for print is no burden either.
func TestPicturesAreSmall(t *testing.T) {
	text := pictureTexts["a fake-TLS link"]
	svg, err := SVG(text)
	if err != nil || len(svg) > 5000 {
		t.Errorf("the SVG has %d bytes, %v", len(svg), err)
	}
	if strings.ContainsAny(svg, "%\n") || strings.Count(svg, "//") != 1 {
		t.Error("the SVG has characters that a data: address must escape, or leads elsewhere")
	}
	if data, err := PNG(text, 8); err != nil || len(data) > 5000 {
		t.Errorf("the PNG has %d bytes, %v", len(data), err)
	}
}

func TestPicturesOfWhatDoesNotFitAreRefused(t *testing.T) {
	long := strings.Repeat("x", 2954)
	if _, err := SVG(long); err == nil {
		t.Error("SVG takes a text too long")
	}
	if _, err := PNG(long, 1); err == nil {
		t.Error("PNG takes a text too long")
	}
	for _, scale := range []int{-1, 0, 65} {
		if _, err := PNG("x", scale); err == nil {
			t.Errorf("PNG takes the scale %d", scale)
		}
	}
}

func compare(t *testing.T, name string, got, want [][]bool) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d modules a side, want %d", name, len(got), len(want))
	}
	for y := range want {
		for x := range want[y] {
			if got[y][x] != want[y][x] {
				t.Fatalf("%s: module %d, %d is dark %v", name, x, y, got[y][x])
			}
		}
	}
}

// readSVG walks the path as a renderer does.
func readSVG(t *testing.T, svg string) [][]bool {
	t.Helper()
	decoder := xml.NewDecoder(strings.NewReader(svg))
	var side int
	var strokes string
	for {
		token, err := decoder.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		start, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		values := make(map[string]string)
		for _, a := range start.Attr {
			values[a.Name.Local] = a.Value
		}
		if box := strings.Fields(values["viewBox"]); len(box) == 4 {
			side, _ = strconv.Atoi(box[2])
		}
		if values["stroke"] == "#000" {
			strokes = values["d"]
		}
		if d := values["d"]; values["fill"] == "#fff" && d != "M0,0h"+strconv.Itoa(side)+"v"+strconv.Itoa(side)+"H0z" {
			t.Fatalf("the ground is %q", d)
		}
	}
	rows := make([][]bool, side)
	for i := range rows {
		rows[i] = make([]bool, side)
	}
	var x, y int
	command := regexp.MustCompile(`M(\d+),(\d+)\.5|m(\d+),0|h(\d+)`)
	rest := command.ReplaceAllStringFunc(strokes, func(step string) string {
		m := command.FindStringSubmatch(step)
		number := func(i int) int { n, _ := strconv.Atoi(m[i]); return n }
		switch step[0] {
		case 'M':
			x, y = number(1), number(2)
		case 'm':
			x += number(3)
		case 'h':
			for range number(4) {
				rows[y][x] = true
				x++
			}
		}
		return ""
	})
	if rest != "" {
		t.Fatalf("the path has %q", rest)
	}
	return rows
}

func BenchmarkSVG(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := SVG(pictureTexts["a fake-TLS link"]); err != nil {
			b.Fatal(err)
		}
	}
}
