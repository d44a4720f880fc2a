package main

import (
	"crypto/sha256"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	netv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// world is what there is at one moment, in an order that does not depend on caches.
type world struct {
	pods       []*corev1.Pod
	namespaces map[string]labels.Set
	policies   []*netv1.NetworkPolicy
}

func newWorld(pods []*corev1.Pod, namespaces []*corev1.Namespace, policies []*netv1.NetworkPolicy) *world {
	w := &world{namespaces: map[string]labels.Set{}, policies: slices.Clone(policies)}
	for _, pod := range pods {
		if hasAddressOfItsOwn(pod) {
			w.pods = append(w.pods, pod)
		}
	}
	for _, namespace := range namespaces {
		w.namespaces[namespace.Name] = namespace.Labels
	}
	slices.SortFunc(w.pods, func(a, b *corev1.Pod) int { return strings.Compare(string(a.UID), string(b.UID)) })
	slices.SortFunc(w.policies, func(a, b *netv1.NetworkPolicy) int { return strings.Compare(string(a.UID), string(b.UID)) })
	return w
}

// The address of a pod that has ended may be another's already.
func hasAddressOfItsOwn(pod *corev1.Pod) bool {
	ended := pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
	return !pod.Spec.HostNetwork && !ended && len(pod.Status.PodIPs) > 0
}

func selects(selector *metav1.LabelSelector, found labels.Set) bool {
	parsed, err := metav1.LabelSelectorAsSelector(selector)
	return err == nil && parsed.Matches(found)
}

// isolating are the policies of one direction that apply to a pod: none means that it is open, in that direction.
func (w *world) isolating(pod *corev1.Pod, direction netv1.PolicyType) []*netv1.NetworkPolicy {
	var found []*netv1.NetworkPolicy
	for _, policy := range w.policies {
		applies := policy.Namespace == pod.Namespace && selects(&policy.Spec.PodSelector, pod.Labels)
		if applies && slices.Contains(policy.Spec.PolicyTypes, direction) { // which the API server defaults
			found = append(found, policy)
		}
	}
	return found
}

// table is the whole of it, as nft reads it: a chain for each isolated pod and direction, and one that leads to them.
func (w *world) table(ranges []string) string {
	var chains, jumps strings.Builder
	w.cutOffUnknown(&jumps, ranges)
	for _, pod := range w.pods {
		w.isolate(&chains, &jumps, pod, netv1.PolicyTypeEgress, "saddr")
		w.isolate(&chains, &jumps, pod, netv1.PolicyTypeIngress, "daddr")
	}
	// Priority 10 is after the translation of Services' addresses, so that a policy sees the pod behind them.
	return "add table inet groyne_netpol\ndelete table inet groyne_netpol\ntable inet groyne_netpol {\n" + chains.String() +
		"  chain pods {\n    ct state established,related accept\n" +
		"    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit, nd-router-advert } accept\n" +
		jumps.String() + "  }\n" +
		"  chain forward { type filter hook forward priority 10; policy accept; jump pods; }\n" +
		"  chain input { type filter hook input priority 10; policy accept; jump pods; }\n}\n"
}

// isolate lets what some rule allows return from the pod's chain, and drops the rest. `own` is where the pod's own address stands.
func (w *world) isolate(chains, jumps *strings.Builder, pod *corev1.Pod, direction netv1.PolicyType, own string) {
	policies := w.isolating(pod, direction)
	if len(policies) == 0 {
		return
	}
	name := fmt.Sprintf("%s_%x", strings.ToLower(string(direction)), sha256.Sum256([]byte(pod.UID)))[:20]
	fmt.Fprintf(chains, "  chain %s { # %s/%s\n", name, pod.Namespace, pod.Name)
	for _, policy := range policies {
		for _, match := range w.matches(policy, pod, direction) {
			fmt.Fprintf(chains, "    %s return\n", match)
		}
	}
	chains.WriteString("    counter drop\n  }\n")
	for _, address := range pod.Status.PodIPs {
		fmt.Fprintf(jumps, "    %s %s %s jump %s\n", family(address.IP), own, address.IP, name)
	}
}

// cutOffUnknown drops what comes from or goes to an address of pods that no pod is known to have; the first is the node's.
func (w *world) cutOffUnknown(out *strings.Builder, ranges []string) {
	for _, text := range ranges {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			continue
		}
		known := []string{prefix.Masked().Addr().Next().String()}
		for _, pod := range w.pods {
			for _, address := range pod.Status.PodIPs {
				if parsed, err := netip.ParseAddr(address.IP); err == nil && prefix.Contains(parsed) {
					known = append(known, address.IP)
				}
			}
		}
		for _, side := range []string{"saddr", "daddr"} {
			match := fmt.Sprintf("%s %s", family(text), side)
			fmt.Fprintf(out, "    %s %s %s != { %s } counter drop\n", match, prefix.Masked(), match, strings.Join(known, ", "))
		}
	}
}

// family is nft's word for an address or a CIDR.
func family(text string) string {
	if strings.Contains(text, ":") {
		return "ip6"
	}
	return "ip"
}
