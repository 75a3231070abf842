// The loopback filesystem of go-fuse, with the options of its example.
//
//	loopback SOURCE MOUNTPOINT
package main

import (
	"log"
	"os"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

func main() {
	root, err := fs.NewLoopbackRoot(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	second := time.Second
	server, err := fs.Mount(os.Args[2], root, &fs.Options{
		AttrTimeout:     &second,
		EntryTimeout:    &second,
		NullPermissions: true,
		MountOptions:    fuse.MountOptions{FsName: os.Args[1], Name: "loopback", Options: []string{"default_permissions"}},
	})
	if err != nil {
		log.Fatal(err)
	}
	server.Wait()
}
