// Command dbmigration-test-kubernetes carries every process of a Kubernetes control plane and node in one binary, so that the
// tests can run a real cluster where no container registry can be reached. The first argument picks the component; each one
// runs as a process of its own, because two in one process share signal handlers and panic on shutdown.
package main

import (
	"context"
	"fmt"
	"log"
	"net/url"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/embed"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

func main() {
	if len(os.Args) < 2 {
		log.Fatal("usage: kubernetes etcd|kube-apiserver|kube-controller-manager|kube-scheduler|kubelet|kube-proxy [flags]")
	}
	component := os.Args[1]
	os.Args = append([]string{component}, os.Args[2:]...)

	var command *cobra.Command
	switch component {
	case "etcd":
		command = newEtcdCommand()
	case "kube-apiserver":
		command = apiserver.NewAPIServerCommand()
	case "kube-controller-manager":
		command = controllermanager.NewControllerManagerCommand()
	case "kube-scheduler":
		command = scheduler.NewSchedulerCommand()
	case "kubelet":
		command = kubelet.NewKubeletCommand(context.Background())
	case "kube-proxy":
		command = proxy.NewProxyCommand()
	default:
		log.Fatalf("unknown component %q", component)
	}
	os.Exit(cli.Run(command))
}

// newEtcdCommand serves one etcd member that never calls fsync: a test cluster dies with its machine anyway, and the API
// server starts several times faster on a slow disk.
func newEtcdCommand() *cobra.Command {
	var dataDir, clientURL, peerURL string
	command := &cobra.Command{
		Use:  "etcd",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			client, err := url.Parse(clientURL)
			if err != nil {
				return fmt.Errorf("--client-url: %w", err)
			}
			peer, err := url.Parse(peerURL)
			if err != nil {
				return fmt.Errorf("--peer-url: %w", err)
			}
			config := embed.NewConfig()
			config.Dir = dataDir
			config.LogLevel = "warn"
			config.UnsafeNoFsync = true
			// Left at zero, every request is logged as a slow one.
			config.WarningUnaryRequestDuration = embed.DefaultWarningUnaryRequestDuration
			config.ListenClientUrls = []url.URL{*client}
			config.AdvertiseClientUrls = []url.URL{*client}
			config.ListenPeerUrls = []url.URL{*peer}
			config.AdvertisePeerUrls = []url.URL{*peer}
			config.InitialCluster = config.InitialClusterFromName(config.Name)

			server, err := embed.StartEtcd(config)
			if err != nil {
				return fmt.Errorf("start etcd: %w", err)
			}
			defer server.Close()
			stop := make(chan os.Signal, 1)
			signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
			select {
			case <-stop:
				return nil
			case err := <-server.Err():
				return fmt.Errorf("etcd stopped: %w", err)
			}
		},
	}
	command.Flags().StringVar(&dataDir, "data-dir", "", "folder of the member's data")
	command.Flags().StringVar(&clientURL, "client-url", "http://127.0.0.1:2379", "URL to listen on for clients")
	command.Flags().StringVar(&peerURL, "peer-url", "http://127.0.0.1:2380", "URL to listen on for peers")
	if err := command.MarkFlagRequired("data-dir"); err != nil {
		log.Fatal(err)
	}
	return command
}
