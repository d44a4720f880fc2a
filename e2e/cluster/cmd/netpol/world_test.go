package main

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	netv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func pod(name, namespace string, addresses ...string) *corev1.Pod {
	made := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace, UID: types.UID(name), Labels: map[string]string{"app": name}}}
	for _, address := range addresses {
		made.Status.PodIPs = append(made.Status.PodIPs, corev1.PodIP{IP: address})
	}
	return made
}

func namespace(name string) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"name": name}}}
}

func app(name string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{"app": name}}
}

func egress(of string, rules ...netv1.NetworkPolicyEgressRule) *netv1.NetworkPolicy {
	spec := netv1.NetworkPolicySpec{PodSelector: *app(of), PolicyTypes: []netv1.PolicyType{netv1.PolicyTypeEgress}, Egress: rules}
	return &netv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "here"}, Spec: spec}
}

func allowed(policy *netv1.NetworkPolicy, pods ...*corev1.Pod) []string {
	w := newWorld(pods, []*corev1.Namespace{namespace("here"), namespace("there")}, []*netv1.NetworkPolicy{policy})
	return w.matches(policy, pods[0], policy.Spec.PolicyTypes[0])
}

func same(t *testing.T, found []string, wanted ...string) {
	t.Helper()
	if !slices.Equal(found, wanted) {
		t.Errorf("found\n  %s\nwanted\n  %s", strings.Join(found, "\n  "), strings.Join(wanted, "\n  "))
	}
}

func TestAPolicyWithoutRulesAllowsNothingAndOneWithAnEmptyRuleAll(t *testing.T) {
	a := pod("a", "here", "10.0.0.2")
	same(t, allowed(egress("a"), a))
	same(t, allowed(egress("a", netv1.NetworkPolicyEgressRule{}), a), "")
}

func TestABlockIsOfItsFamilyWithoutWhatItExcepts(t *testing.T) {
	peers := []netv1.NetworkPolicyPeer{
		{IPBlock: &netv1.IPBlock{CIDR: "0.0.0.0/0", Except: []string{"10.96.0.0/16", "192.168.0.0/16", "10.0.0.0/8"}}},
		{IPBlock: &netv1.IPBlock{CIDR: "2001:db8::/32"}},
	}
	same(t, allowed(egress("a", netv1.NetworkPolicyEgressRule{To: peers}), pod("a", "here", "10.0.0.2")),
		"ip daddr 0.0.0.0/0 ip daddr != { 10.0.0.0/8, 192.168.0.0/16 }", "ip6 daddr 2001:db8::/32")
}

func TestASelectorMeansItsOwnNamespaceUnlessItSaysAnother(t *testing.T) {
	a, near, far := pod("a", "here", "10.0.0.2"), pod("b", "here", "10.0.0.3", "fd00::3"), pod("b", "there", "10.0.0.4")
	near.UID, far.UID = "near", "far"
	own := netv1.NetworkPolicyEgressRule{To: []netv1.NetworkPolicyPeer{{PodSelector: app("b")}}}
	same(t, allowed(egress("a", own), a, near, far), "ip daddr 10.0.0.3", "ip6 daddr fd00::3")
	there := &metav1.LabelSelector{MatchLabels: map[string]string{"name": "there"}}
	other := netv1.NetworkPolicyEgressRule{To: []netv1.NetworkPolicyPeer{{PodSelector: app("b"), NamespaceSelector: there}}}
	same(t, allowed(egress("a", other), a, near, far), "ip daddr 10.0.0.4")
	anywhere := netv1.NetworkPolicyEgressRule{To: []netv1.NetworkPolicyPeer{{NamespaceSelector: &metav1.LabelSelector{}}}}
	same(t, allowed(egress("a", anywhere), a, far), "ip daddr 10.0.0.2", "ip daddr 10.0.0.4")
}

func TestPortsAreNumbersRangesAndTheOtherPodsNames(t *testing.T) {
	server := pod("b", "here", "10.0.0.3")
	server.Spec.Containers = []corev1.Container{{Ports: []corev1.ContainerPort{{Name: "web", ContainerPort: 8080, Protocol: "TCP"}}}}
	udp, number, web, unknown, end := corev1.ProtocolUDP, intstr.FromInt32(53), intstr.FromString("web"), intstr.FromString("none"), int32(60)
	ports := []netv1.NetworkPolicyPort{{Port: &number, Protocol: &udp}, {Port: &number, EndPort: &end}, {Port: &web}, {Port: &unknown}, {Protocol: &udp}}
	rule := netv1.NetworkPolicyEgressRule{To: []netv1.NetworkPolicyPeer{{PodSelector: app("b")}}, Ports: ports}
	same(t, allowed(egress("a", rule), pod("a", "here", "10.0.0.2"), server), "ip daddr 10.0.0.3 udp dport 53", "ip daddr 10.0.0.3 tcp dport 53-60",
		"ip daddr 10.0.0.3 tcp dport 8080", "ip daddr 10.0.0.3 meta l4proto udp")
}

func TestIngressNamesThePortsOfThePodThatIsProtected(t *testing.T) {
	a := pod("a", "here", "10.0.0.2")
	a.Spec.InitContainers = []corev1.Container{{Ports: []corev1.ContainerPort{{Name: "web", ContainerPort: 81, Protocol: "TCP"}}}}
	web := intstr.FromString("web")
	rule := netv1.NetworkPolicyIngressRule{From: []netv1.NetworkPolicyPeer{{PodSelector: app("b")}}, Ports: []netv1.NetworkPolicyPort{{Port: &web}}}
	policy := egress("a")
	policy.Spec.PolicyTypes, policy.Spec.Ingress = []netv1.PolicyType{netv1.PolicyTypeIngress}, []netv1.NetworkPolicyIngressRule{rule}
	same(t, allowed(policy, a, pod("b", "here", "10.0.0.3")), "ip saddr 10.0.0.3 tcp dport 81")
}

func TestWhatIsNoPodOfTheNetworkHasNoRules(t *testing.T) {
	host, ended, young := pod("host", "here", "10.0.0.1"), pod("ended", "here", "10.0.0.5"), pod("young", "here")
	host.Spec.HostNetwork, ended.Status.Phase = true, corev1.PodSucceeded
	w := newWorld([]*corev1.Pod{host, ended, young}, nil, nil)
	if len(w.pods) != 0 {
		t.Errorf("found %d", len(w.pods))
	}
}

func TestAnAddressThatIsNotKnownYetIsCutOff(t *testing.T) {
	table := newWorld([]*corev1.Pod{pod("a", "here", "10.0.0.2", "fd00::2")}, nil, nil).table([]string{"10.0.0.0/24", "fd00::/64"})
	for _, wanted := range []string{
		"ip saddr 10.0.0.0/24 ip saddr != { 10.0.0.1, 10.0.0.2 } counter drop",
		"ip6 daddr fd00::/64 ip6 daddr != { fd00::1, fd00::2 } counter drop",
	} {
		if !strings.Contains(table, wanted) {
			t.Errorf("not there: %s\n%s", wanted, table)
		}
	}
}

func TestOnlyWhatAPolicySelectsIsIsolated(t *testing.T) {
	w := newWorld([]*corev1.Pod{pod("a", "here", "10.0.0.2"), pod("a", "there", "10.0.0.3")}, nil, []*netv1.NetworkPolicy{egress("a")})
	table := w.table(nil)
	if !strings.Contains(table, "ip saddr 10.0.0.2 jump egress_") || strings.Contains(table, "10.0.0.3") {
		t.Error(table)
	}
}
