package faketls_test

import (
	"fmt"

	"mtguard/mtproto/faketls"
)

// A visitor's browser and a Telegram app begin alike; only what can never be a hello
// is refused at once.
func ExampleParseHello() {
	for _, b := range []string{"GET / HTTP/1.1\r\n", "\x16\x03", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc"} {
		_, _, need, err := faketls.ParseHello([]byte(b))
		fmt.Println(need, err)
	}
	// Output:
	// 0 not a handshake record
	// 3 <nil>
	// 508 <nil>
}

func ExampleDeframer() {
	var d faketls.Deframer
	for _, chunk := range []string{"\x14\x03\x03\x00\x01\x01\x17\x03", "\x03\x00\x05hel", "lo\x15\x03\x03\x00\x02"} {
		b := []byte(chunk)
		n, err := d.Strip(b)
		fmt.Printf("%q %v\n", b[:n], err)
	}
	// Output:
	// "" <nil>
	// "hel" <nil>
	// "lo" record type is neither data nor change cipher spec
}

func ExamplePutHeader() {
	payload := "cipher text"
	record := make([]byte, faketls.HeaderSize, faketls.HeaderSize+len(payload))
	faketls.PutHeader(record, len(payload))
	record = append(record, payload...)

	var d faketls.Deframer
	n, err := d.Strip(record)
	fmt.Printf("%s, %v\n", record[:n], err)
	// Output: cipher text, <nil>
}
