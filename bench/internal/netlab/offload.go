package netlab

import (
	"fmt"
	"runtime"
	"syscall"
	"unsafe"
)

// realPackets turns segmentation offload off and receive offload on, as ethtool -K would.
func realPackets(device string) error {
	const (
		siocEthtool = 0x8946
		setGRO      = 0x2c
		setTSO      = 0x1f
		setGSO      = 0x24
	)
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	defer syscall.Close(fd)
	for _, set := range []struct{ command, value uint32 }{{setTSO, 0}, {setGSO, 0}, {setGRO, 1}} {
		order := [2]uint32{set.command, set.value}
		var request struct {
			name [syscall.IFNAMSIZ]byte
			data unsafe.Pointer
			_    [16]byte
		}
		copy(request.name[:], device)
		request.data = unsafe.Pointer(&order)
		_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), siocEthtool, uintptr(unsafe.Pointer(&request)))
		runtime.KeepAlive(&order)
		if errno != 0 {
			return fmt.Errorf("ethtool of %s, command %#x: %w", device, set.command, errno)
		}
	}
	return nil
}
