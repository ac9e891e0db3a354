package e2e

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestPicturesOfTheDashboard makes the pictures of doc/img, with MTGUARD_PICTURES=DIR only: a node that has run for
// weeks, was attacked just now, and serves some people.
func TestPicturesOfTheDashboard(t *testing.T) {
	dir := os.Getenv("MTGUARD_PICTURES")
	if dir == "" {
		t.Skip("it makes pictures, with MTGUARD_PICTURES=DIR")
	}
	chrome := browser(t)
	s := withDashboard(t, behindBalancer(t, coverSite(t).addr, telegram(t, 2)))
	remember(t, s, 90)
	n := start(t, s)
	n.past()
	for i := range 43 { // they stay
		r := way(t, n.addr, fakeTLSSecret, dialWith(dialFrom(listed), headerV1(fmt.Sprintf("192.0.2.%d", 20+i))))
		c, err := r(t.Context(), 2)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	d := dashboardOf(n, s)
	for _, p := range []struct {
		name, page    string
		look          look
		width, height int64
		then          func(*tab)
	}{
		{"dashboard-overview", "overview", look{"", "en", "light", 1280}, 1280, 860, nil},
		{"dashboard-dark", "overview", look{"", "en", "dark", 1280}, 1280, 860, nil},
		{"dashboard-persian", "overview", look{"", "fa", "dark", 1280}, 1280, 860, nil},
		{"dashboard-phone", "overview", look{"", "en", "light", 390}, 390, 844, nil},
		{"dashboard-change", "policy/text", look{"", "en", "light", 1280}, 1280, 860, func(b *tab) {
			b.write(is[string](b, `document.querySelector("main textarea").value`) + "\n[controls.\"rate.accept\"]\nmode = \"enforce\"\n\n[connections]\nper_address = 32\n")
			b.says("connections.per_address")
		}},
	} {
		b := d.open(chrome, p.look)
		b.wanted = "status of 4"
		b.do(chromedp.EmulateViewport(p.width, p.height), chromedp.Navigate(b.url+"/#/overview"))
		is[chromedp.Void](b, `localStorage.setItem("mtguard.range", "7d")`)
		b.visit(p.page)
		if p.then != nil {
			p.then(b)
		} else {
			b.await("numbers", `!document.querySelector(".tiles").innerText.includes("…") && document.querySelector(".plot canvas")`)
		}
		shot, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
		b.must(err)
		picture, err := png.Decode(bytes.NewReader(shot))
		b.must(err)
		var small bytes.Buffer
		b.must((&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&small, fewColours(picture)))
		b.must(os.WriteFile(filepath.Join(dir, p.name+".png"), small.Bytes(), 0o644))
		t.Logf("%s: %d bytes, %d as the browser made it", p.name, small.Len(), len(shot))
	}
}

// fewColours is a picture in 256 of its colours: to the eye the same, and half as large.
func fewColours(picture image.Image) image.Image {
	bounds := picture.Bounds()
	count := make(map[color.RGBA]int)
	at := func(x, y int) color.RGBA { return color.RGBAModel.Convert(picture.At(x, y)).(color.RGBA) }
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			count[at(x, y)]++
		}
	}
	// What is bright counts for more: a thin line has few pixels, and is told by its colour.
	weight := func(c color.RGBA) int { return count[c] * (1 + int(max(c.R, c.G, c.B)-min(c.R, c.G, c.B))) }
	all := slices.SortedFunc(maps.Keys(count), func(a, b color.RGBA) int { return weight(b) - weight(a) })
	var colours color.Palette
	for _, c := range all[:min(len(all), 256)] {
		colours = append(colours, c)
	}
	nearest := make(map[color.RGBA]uint8)
	for _, c := range all {
		nearest[c] = uint8(colours.Index(c))
	}
	few := image.NewPaletted(bounds, colours)
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			few.SetColorIndex(x, y, nearest[at(x, y)])
		}
	}
	return few
}
