// Command dbmigration-test-coredns is CoreDNS with just the plugins that answer the names of a test cluster. It has none that
// caches: a test that asks for a Service a moment too early must see it a moment later.
package main

import (
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"
	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/forward"
	_ "github.com/coredns/coredns/plugin/kubernetes"
)

func main() {
	// Only what is linked may be named here: the server ends at a directive without its plugin.
	dnsserver.Directives = []string{"bind", "errors", "kubernetes", "forward"}
	coremain.Run()
}
