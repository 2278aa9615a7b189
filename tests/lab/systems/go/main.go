// SPDX-License-Identifier: GPL-2.0-or-later

// The first program of a guest made for one purpose: it loads the guest's modules, starts three other programs and tells of
// the guest as tests/lab/guest/view.h has it. No C library is in it, and whichever of its threads is free starts a program.
package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

const (
	finitModule = 313        // arch/x86/entry/syscalls/syscall_64.tbl
	kernelFlag  = 0x00200000 // PF_KTHREAD, include/linux/sched.h
	onlyPanics  = 1
	setLevel    = 8 // SYSLOG_ACTION_CONSOLE_LEVEL
)

// Says what failed, and stays: a first program that ends takes the kernel with it.
func must(what string, err error) {
	if err != nil {
		fmt.Printf("LACUNA-GUEST FAILED %s: %v\n", what, err)
		serve()
	}
}

func loadModule(name string) error {
	file, err := os.Open("/modules/" + name + ".ko")
	if err != nil {
		return err
	}
	defer file.Close()
	none := []byte{0}
	_, _, errno := syscall.Syscall(finitModule, file.Fd(), uintptr(unsafe.Pointer(&none[0])), 0)
	if errno != 0 {
		return errno
	}
	return nil
}

func loadModules() {
	order, err := os.ReadFile("/modules/order")
	if err != nil {
		return
	}
	for _, name := range strings.Fields(string(order)) {
		if err := loadModule(name); err != nil {
			fmt.Printf("LACUNA-GUEST MODULE %s %v\n", name, err)
		}
	}
}

func processes(out *bytes.Buffer) {
	entries, _ := os.ReadDir("/proc")
	for _, entry := range entries {
		stat, err := os.ReadFile("/proc/" + entry.Name() + "/stat")
		first, last := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
		if err != nil || first < 0 || entry.Name()[0] > '9' {
			continue
		}
		var state string
		var ignored, flags int64
		fmt.Sscan(string(stat[last+1:]), &state, &ignored, &ignored, &ignored, &ignored, &ignored, &flags)
		kind := "user"
		if flags&kernelFlag != 0 {
			kind = "kernel"
		}
		fmt.Fprintf(out, "P %s %s %s\n", entry.Name(), kind, stat[first+1:last])
	}
}

func modules(out *bytes.Buffer) {
	list, err := os.Open("/proc/modules")
	if err != nil {
		return
	}
	defer list.Close()
	for lines := bufio.NewScanner(list); lines.Scan(); {
		if fields := strings.Fields(lines.Text()); len(fields) >= 6 {
			fmt.Fprintf(out, "M %s %s\n", fields[0], fields[5])
		}
	}
}

func view(number int) {
	var out bytes.Buffer
	fmt.Fprintf(&out, "LACUNA-VIEW %d BEGIN\n", number)
	processes(&out)
	modules(&out)
	fmt.Fprintf(&out, "LACUNA-VIEW %d END\n", number)
	os.Stdout.Write(out.Bytes())
}

func serve() {
	for {
		time.Sleep(time.Hour)
	}
}

func mount(kind, place string) {
	os.Mkdir(place, 0o755)
	must("mounting "+place, syscall.Mount(kind, place, kind, 0, ""))
}

func main() {
	if os.Getpid() != 1 {
		serve()
	}
	mount("proc", "/proc")
	mount("devtmpfs", "/dev")
	release, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	fmt.Printf("LACUNA-GUEST INIT\nLACUNA-GUEST KERNEL %s", release)
	loadModules()
	for _, name := range []string{"store", "gateway", "metrics"} {
		must("starting "+name, exec.Command("/bin/"+name).Start())
	}
	syscall.Syscall(syscall.SYS_SYSLOG, setLevel, 0, onlyPanics)
	fmt.Println("LACUNA-GUEST READY")
	for number := 1; ; number++ {
		view(number)
		time.Sleep(2 * time.Second)
	}
}
