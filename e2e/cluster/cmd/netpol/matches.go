package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	netv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// rule is an ingress or an egress rule: they differ in which end is the peer, and in whose ports are meant.
type rule struct {
	peers []netv1.NetworkPolicyPeer
	ports []netv1.NetworkPolicyPort
}

// matches are nft's conditions for what one policy allows a pod in one direction.
func (w *world) matches(policy *netv1.NetworkPolicy, pod *corev1.Pod, direction netv1.PolicyType) []string {
	var found []string
	if direction == netv1.PolicyTypeEgress {
		for _, each := range policy.Spec.Egress {
			found = append(found, w.allowed(rule{each.To, each.Ports}, policy.Namespace, "daddr", nil)...)
		}
		return found
	}
	for _, each := range policy.Spec.Ingress {
		found = append(found, w.allowed(rule{each.From, each.Ports}, policy.Namespace, "saddr", pod)...)
	}
	return found
}

// allowed: `named` is the pod whose port names count, or nil where it is each peer's own.
func (w *world) allowed(r rule, namespace, side string, named *corev1.Pod) []string {
	if len(r.peers) == 0 {
		return combine("", portMatches(r.ports, named))
	}
	var found []string
	for _, peer := range r.peers {
		if peer.IPBlock != nil {
			if match, valid := blockMatch(peer.IPBlock, side); valid {
				found = append(found, combine(match, portMatches(r.ports, named))...)
			}
			continue
		}
		for _, other := range w.peerPods(peer, namespace) {
			ports := portMatches(r.ports, other)
			if named != nil {
				ports = portMatches(r.ports, named)
			}
			for _, address := range other.Status.PodIPs {
				found = append(found, combine(fmt.Sprintf("%s %s %s", family(address.IP), side, address.IP), ports)...)
			}
		}
	}
	return found
}

// peerPods: without a namespace selector, those of the policy's own namespace; without a pod selector, all.
func (w *world) peerPods(peer netv1.NetworkPolicyPeer, namespace string) []*corev1.Pod {
	var found []*corev1.Pod
	for _, pod := range w.pods {
		there := pod.Namespace == namespace
		if peer.NamespaceSelector != nil {
			place, known := w.namespaces[pod.Namespace]
			there = known && selects(peer.NamespaceSelector, place)
		}
		if there && (peer.PodSelector == nil || selects(peer.PodSelector, pod.Labels)) {
			found = append(found, pod)
		}
	}
	return found
}

// blockMatch: a block that is none allows nothing.
func blockMatch(block *netv1.IPBlock, side string) (string, bool) {
	prefix, err := netip.ParsePrefix(block.CIDR)
	if err != nil {
		return "", false
	}
	match := fmt.Sprintf("%s %s %s", family(block.CIDR), side, prefix.Masked())
	if except := outermost(block.Except); len(except) > 0 {
		match += fmt.Sprintf(" %s %s != { %s }", family(block.CIDR), side, strings.Join(except, ", "))
	}
	return match, true
}

// outermost leaves out what lies within another: nft refuses a set whose elements overlap.
func outermost(cidrs []string) []string {
	var prefixes []netip.Prefix
	for _, text := range cidrs {
		if prefix, err := netip.ParsePrefix(text); err == nil {
			prefixes = append(prefixes, prefix.Masked())
		}
	}
	slices.SortFunc(prefixes, func(a, b netip.Prefix) int { return a.Bits() - b.Bits() })
	var kept []netip.Prefix
	var found []string
	for _, prefix := range prefixes {
		if !slices.ContainsFunc(kept, func(wider netip.Prefix) bool { return wider.Contains(prefix.Addr()) }) {
			kept = append(kept, prefix)
			found = append(found, prefix.String())
		}
	}
	return found
}

// portMatches: no ports at all means every port, and a name that the pod does not have means none.
func portMatches(ports []netv1.NetworkPolicyPort, named *corev1.Pod) []string {
	if len(ports) == 0 {
		return []string{""}
	}
	var found []string
	for _, port := range ports {
		protocol := "tcp"
		if port.Protocol != nil {
			protocol = strings.ToLower(string(*port.Protocol))
		}
		switch {
		case port.Port == nil:
			found = append(found, "meta l4proto "+protocol)
		case port.Port.Type == intstr.String:
			found = append(found, namedPorts(port.Port.StrVal, protocol, named)...)
		case port.EndPort != nil:
			found = append(found, fmt.Sprintf("%s dport %d-%d", protocol, port.Port.IntVal, *port.EndPort))
		default:
			found = append(found, fmt.Sprintf("%s dport %d", protocol, port.Port.IntVal))
		}
	}
	return found
}

func namedPorts(name, protocol string, pod *corev1.Pod) []string {
	if pod == nil {
		return nil
	}
	var found []string
	for _, container := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		for _, port := range container.Ports {
			if port.Name == name && strings.EqualFold(string(port.Protocol), protocol) { // which the API server defaults
				found = append(found, fmt.Sprintf("%s dport %d", protocol, port.ContainerPort))
			}
		}
	}
	return found
}

func combine(peer string, ports []string) []string {
	var found []string
	for _, port := range ports {
		found = append(found, strings.TrimSpace(peer+" "+port))
	}
	return found
}
