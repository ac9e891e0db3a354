package links

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
)

// maxScale keeps the largest code, of 177 modules, below 12,000 pixels a side.
const maxScale = 64

// PNG draws text as a QR code: black on white with a border, scale pixels for each module, 1 to
// 64. What it draws is what SVG draws.
func PNG(text string, scale int) ([]byte, error) {
	if scale < 1 || scale > maxScale {
		return nil, fmt.Errorf("scale %d: want 1 to %d pixels for each module", scale, maxScale)
	}
	code, err := encode(text)
	if err != nil {
		return nil, err
	}
	side := (code.Size + 2*margin) * scale
	// Two colours make it one bit for each pixel.
	picture := image.NewPaletted(image.Rect(0, 0, side, side), color.Palette{color.White, color.Black})
	for y := range side {
		row := picture.Pix[y*picture.Stride:][:side]
		for x := range row {
			if code.Black(x/scale-margin, y/scale-margin) {
				row[x] = 1
			}
		}
	}
	var out bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	if err := encoder.Encode(&out, picture); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
