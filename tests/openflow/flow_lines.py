"""Lines of flows for the tests: a table written by hand, and a seeded generator of more."""

from __future__ import annotations

from random import Random

MATCHES = """
in_port=1
in_port=LOCAL
in_port=controller
in_port=65534
in_port=4294967294
priority=7,ip
dl_vlan=5
dl_vlan=0
dl_vlan=0xffff
dl_vlan=*
dl_vlan_pcp=3
dl_vlan=5,dl_vlan_pcp=3
dl_vlan_pcp=3,dl_vlan=5
dl_vlan=5,dl_vlan_pcp=3,dl_vlan=*
vlan_vid=0x1005
vlan_vid=0x1000/0x1000
vlan_vid=0x1005/0x100f
vlan_vid=0
vlan_pcp=7
vlan_tci=0
vlan_tci=0x1005
vlan_tci=0xf005/0xffff
vlan_tci=0x1000/0x1000
vlan_tci=0x1005/0x10ff
vlan_tci=0x3005/0xffff
dl_src=00:11:22:33:44:55
eth_src=0:1:2:3:4:5
dl_dst=01:00:00:00:00:00/01:00:00:00:00:00
eth_dst=ff:ff:ff:ff:ff:ff/ff:ff:ff:00:00:00
dl_type=0x800
dl_type=0x88cc
eth_type=0x86dd,nw_proto=17
eth_type=0x0806
ip
ip,nw_src=10.0.0.1
ip,nw_src=10.1.2.3/8
ip,ip_dst=10.1.2.3/255.255.0.0
ip,nw_dst=10.1.2.3/255.0.255.0
ip,nw_src=1.2.3.4/0
ip,nw_proto=2
ip,ip_proto=0x2f
ip,nw_tos=184
ip,ip_dscp=46
ip,nw_ecn=3
ip,ip_ecn=0
ip,nw_tos=0,nw_ecn=0
ip,nw_ttl=64
ip,nw_frag=no
ip,nw_frag=yes
ip,ip_frag=first
ip,nw_frag=LATER
ip,nw_frag=not_later
tcp
tcp,tp_src=1,tp_dst=2
tcp,tcp_dst=80
tcp,tp_dst=0x50/0xfff0
tcp,tp_dst=0
tcp,tcp_flags=+syn-ack
tcp,tcp_flags=syn
tcp,tcp_flags=syn|ack
tcp,tcp_flags=0x12
tcp,tcp_flags=0x2/0x12
tcp,tcp_flags=0
tcp,tcp_flags=+fin-syn+rst-psh+ack-urg+ece-cwr+ns
tcp,tcp_flags=+[200]
udp
udp,udp_src=53
udp,tp_src=53,tp_dst=68
sctp,sctp_dst=2905
icmp
icmp,icmp_type=8
icmp,icmp_type=8,icmp_code=0
icmp6,icmp_type=128
icmp6,icmpv6_type=135,icmpv6_code=0,nd_target=fe80::1,nd_sll=00:00:00:00:00:05
icmp6,icmpv6_type=136,icmpv6_code=0,nd_target=fe80::/10,nd_tll=00:00:00:00:00:05
icmp6,icmp_type=136,icmp_code=0,nd_reserved=5,nd_options_type=2
ipv6
ip6
ipv6,ipv6_src=fe80::1
ipv6,ipv6_dst=2001:db8::/32
ipv6,ipv6_dst=::ffff:1.2.3.4
ipv6,ipv6_dst=::1.2.3.4
ipv6,ipv6_src=::1
ipv6,ipv6_src=1:0:0:2:0:0:0:3
ipv6,ipv6_src=1:0:2:3:4:5:6:7
ipv6,ipv6_src=fe80::1/ffff:0:ffff::
ipv6,ipv6_label=0x12345
ipv6,ipv6_label=0x00345/0x00fff
ipv6,nw_proto=59
tcp6,tp_dst=443
udp6,tp_src=53
sctp6
arp
arp,arp_op=1
arp,arp_spa=10.0.0.1,arp_tpa=10.0.0.2/24
arp,nw_src=10.0.0.1,nw_proto=2
arp,arp_sha=00:00:00:00:00:01,arp_tha=00:00:00:00:00:02
rarp
rarp,arp_op=3
mpls,mpls_label=100,mpls_tc=3,mpls_bos=1,mpls_ttl=64
mplsm
reg0=5
reg0=0x5/0xf
reg15=0xffffffff
reg1=0
reg0[0..7]=5,reg0[16]=1
NXM_NX_REG3[]=7
NXM_NX_REG3[4..5]=3
xreg0=0x100000002
xreg1=0x1/0xffff
xxreg0=0x1
xxreg3=0x10000000000000000/0x30000000000000000
metadata=0x1234
metadata=1/0xf
tun_id=5
tunnel_id=0x5/0xff
tun_src=1.2.3.4,tun_dst=5.6.7.0/24
tun_ipv6_src=fe80::1,tun_ipv6_dst=fe80::/64
tun_flags=oam
tun_flags=-oam
tun_gbp_id=5,tun_gbp_flags=0x8
pkt_mark=5
pkt_mark=0x5/0x7
conj_id=9
recirc_id=0
actset_output=3
ct_state=+trk
ct_state=-trk
ct_state=+trk+new-est
ct_state=+trk+inv
ct_state=trk|new
ct_state=new
ct_state=0
ct_state=0x21/0x21
ct_state=0x21
ct_state=+new+est+rel+rpl+inv+trk+snat+dnat
ct_state=-new-est-rel-rpl-inv-trk-snat-dnat
ct_state=+new-trk
ct_zone=5
ct_zone=0
ct_mark=0x5
ct_mark=5/0xff
ct_mark=0x1ff/0xff
ct_label=0x5
ct_label=0x80000000000000000000000000000000/0x80000000000000000000000000000000
ip,ct_state=+trk+est,ct_nw_src=10.0.0.1,ct_nw_dst=10.0.0.0/8
ipv6,ct_state=+trk+est,ct_ipv6_src=fe80::1,ct_ipv6_dst=fe80::/10
ct_nw_proto=6,ct_tp_src=5,ct_tp_dst=80/0xfff0,ip,ct_state=+trk-inv
ct_state=+trk+est,ip,ct_nw_proto=17
tcp,eth
icmp6,icmp_type=136,nd_reserved=5,nd_options_type=2
tun_erspan_ver=2,tun_erspan_dir=1,tun_erspan_hwid=0x7
tun_erspan_ver=1,tun_erspan_idx=0x5
tun_erspan_ver=3/0x2
tun_metadata0=0x5,tun_metadata1=0,tun_metadata63
tun_metadata2=0x1200/0xff00,tun_metadata3=0x30/0xf0
dl_type=0x894f,nsh_flags=2/3,nsh_ttl=63,nsh_mdtype=1,nsh_np=3,nsh_spi=0x1234,nsh_si=255
dl_type=0x894f,nsh_mdtype=1,nsh_c1=0x11223344,nsh_c2=0/0xff,nsh_c3=0,nshc4=1
dl_type=0x894f,nsp=0x123456,nsi=254
packet_type=(1,0x800),nw_src=10.0.0.1
packet_type=(1,0x894f),nsh_spi=5
packet_type=(0,0)
packet_type=(1,0x800)
tp_dst=80
nw_src=10.0.0.1
ip,tp_dst=80
udp,tcp_flags=+syn
arp,nw_ttl=4
icmp6,icmp_type=1,nd_target=::1
ip,ct_tp_src=5
tcp_dst,tcp
ip,nw_src=*
in_port:3 ip
ip nw_src=10.0.0.1 , nw_dst=10.0.0.2
tcp,udp
""".strip().split("\n")
"""What matches may look like."""

ACTIONS = """
drop
DROP
1
output:1
output:LOCAL
output:4294967294
OUTPUT:2,Output:3
local,in_port,normal,flood,all,table
controller
controller:128
CONTROLLER
controller(max_len=100,reason=no_match)
controller(id=5,userdata=01.02.0a)
controller(pause,meter_id=3,max_len=9)
controller(reason=invalid_ttl)
output:CONTROLLER
output:NXM_NX_REG0[]
output:reg0[0..15]
output(port=1,max_len=100)
output(max_len=64,port=LOCAL)
enqueue:1:2
enqueue(3,4)
set_queue:5,pop_queue
group:7
mod_vlan_vid:5
set_vlan_vid:0x10,set_vlan_pcp:2
mod_vlan_pcp:7
strip_vlan
push_vlan:0x8100,set_field:4101->vlan_vid
push_vlan:0x88a8
mod_dl_src:00:01:02:03:04:05,mod_dl_dst:0:1:2:3:4:5
mod_nw_src:1.2.3.4,mod_nw_dst:5.6.7.8
mod_nw_tos:184,mod_nw_ecn:2,mod_nw_ttl:64
set_nw_ttl:3
mod_tp_src:80,mod_tp_dst:0x50
set_tunnel:5,set_tunnel64:6,set_tunnel:0x100000000
set_field:5->reg0
set_field:0x5/0xf->reg0
set_field:00:01:02:03:04:05->eth_src
set_field:00:01:02:00:00:00/ff:ff:ff:00:00:00->eth_dst
set_field:1.2.3.4->ip_src
set_field:1.2.3.0/24->nw_dst
set_field:80->tcp_dst
set_field:80/0xff->tcp_dst
set_field:46->ip_dscp
set_field:184->nw_tos
load:184->NXM_OF_IP_TOS[]
set_field:1->nw_ecn
set_field:64->nw_ttl
set_field:0x100000001->xreg0
set_field:1->xxreg1
set_field:5->metadata
set_field:5/7->metadata
set_field:3->in_port
set_field:LOCAL->in_port_oxm
set_field:7->pkt_mark
set_field:7->tun_id
set_field:1.2.3.4->tun_dst
set_field:fe80::1->tun_ipv6_dst
set_field:oam->tun_flags
load:5->NXM_NX_REG0[]
load:5->reg0[0..3]
load:0x1->NXM_NX_REG1[31]
load:0->NXM_OF_IN_PORT[]
load:0x123456789a->NXM_OF_ETH_SRC[]
load:5->OXM_OF_METADATA[0..7]
load:0x5->NXM_NX_XXREG0[0..127]
load:5->xreg0[]
load:0x0a000001->NXM_OF_IP_SRC[]
load:3->NXM_NX_IP_ECN[]
load:5->OXM_OF_PKT_REG1[]
move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[]
move:reg0[0..15]->NXM_OF_TCP_DST[]
move:NXM_NX_CT_STATE[]->NXM_NX_REG0[]
move:NXM_NX_CT_LABEL[0..31]->reg2[]
push:NXM_NX_REG0[],pop:NXM_NX_REG1[]
push:reg0[3],pop:NXM_NX_REG2[5]
dec_ttl
dec_ttl(1,2,3)
DEC_TTL
resubmit:1
resubmit(,2)
resubmit(3,4)
resubmit(3,)
resubmit(,254)
resubmit(LOCAL,0)
resubmit(in_port,7)
ct
ct()
ct(table=1)
ct(table=0,zone=5)
ct(zone=NXM_NX_REG0[0..15],table=3)
ct(zone=reg0[16..31])
ct(zone=NXM_NX_CT_ZONE[])
ct(zone=65535)
ct(commit)
ct(commit,zone=0x5)
ct(force,commit)
ct(zone=1,zone=2)
ct(nat)
ct(table=1,zone=3,nat)
ct(commit,nat(src=10.0.0.1))
ct(commit,nat(src=10.0.0.1-10.0.0.9))
ct(commit,nat(src=10.0.0.1-10.0.0.1))
ct(commit,nat(dst=10.0.0.1:80))
ct(commit,nat(dst=10.0.0.1-10.0.0.4:80-90))
ct(commit,nat(dst=10.0.0.1:80-80))
ct(commit,nat(src=10.0.0.1,random))
ct(commit,nat(hash,persistent,src=10.0.0.1))
ct(commit,nat(src,random))
ct(commit,nat(dst))
ct(commit,nat(src),zone=3)
ct(commit,exec(set_field:1->ct_mark))
ct(commit,exec(set_field:1/3->ct_mark,set_field:5->ct_label))
ct(commit,exec(load:1->NXM_NX_CT_MARK[0..3],load:0x1->NXM_NX_CT_LABEL[127]))
ct(commit,exec(move:NXM_NX_REG0[]->NXM_NX_CT_MARK[]))
ct(commit,zone=1,nat(src=1.2.3.4),exec(load:0x1->NXM_NX_CT_MARK[]),table=4)
ct(commit,alg=ftp)
ct_clear
ct_clear,ct(commit),2
clone(2,3)
clone(set_field:5->reg0,ct(commit),clone(output:1))
clone()
check_pkt_larger(1500)->NXM_NX_REG0[0]
check_pkt_larger(100)->reg1[5],resubmit(,4)
conjunction(5,1/2)
conjunction(5,2/3),conjunction(6,1/2)
note:01.02.03
note:010203,note:
exit
meter:3,output:1
clear_actions
write_actions(output:1)
write_actions(set_field:5->reg0,group:3)
write_actions(ct(commit),output:2)
write_metadata:5
write_metadata:0x5/0xff
goto_table:9
clear_actions,write_actions(drop),write_metadata:3,goto_table:4
output:1,output:2,goto_table:253
mod_vlan_vid:1,strip_vlan
push_mpls:0x8847,set_mpls_ttl:3
push_mpls:0x8847,set_mpls_label:77,set_mpls_tc:5
set_field:0x11223344->tun_metadata0,set_field:0x1/0xff->tun_metadata1,set_field:0->tun_metadata2
move:NXM_NX_TUN_METADATA0[0..15]->NXM_NX_REG0[0..15],push:tun_metadata3[0..31],delete_field:tun_metadata0
load:5->NXM_NX_TUN_METADATA1[8..15]
encap(ethernet)
encap(nsh),encap(mpls)
encap(nsh(md_type=1)),set_field:0x1234->nsh_spi,encap(ethernet)
encap(nsh(md_type=2,tlv(0x1000,10,0x12345678),tlv(0x2000,20,0xfedcba9876543210)))
encap(mpls_mc),set_field:5->mpls_label
decap()
decap(packet_type(ns=0,type=0))
decap(packet_type(ns=1,type=0x800))
encap(nsh),dec_nsh_ttl,load:5->NXOXM_NSH_C1[0..7],move:NXOXM_NSH_SI[]->NXM_NX_REG0[0..7]
push_mpls:0x8848,dec_mpls_ttl,pop_mpls:0x0800
learn(table=2)
learn()
learn(eth_type=0x800,NXM_OF_IP_SRC[]=NXM_OF_IP_DST[],output:NXM_OF_IN_PORT[])
learn(table=9,idle_timeout=3,hard_timeout=4,fin_idle_timeout=5,fin_hard_timeout=6,priority=7)
learn(priority=32768,cookie=0x12,send_flow_rem,delete_learned,limit=3,result_dst=NXM_NX_REG0[3])
learn(NXM_OF_VLAN_TCI[0..11],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],load:NXM_OF_IN_PORT[]->NXM_NX_REG3[0..15])
learn(eth_type=0x800,nw_proto=6,NXM_OF_TCP_DST[]=NXM_OF_TCP_SRC[],NXM_OF_IP_SRC[],load:0x5->NXM_NX_REG0[])
learn(eth_type=0x800,ip_src=1.2.3.4,load:10->NXM_NX_REG0[3..9],output:reg2[0..15],metadata=7)
learn(NXM_NX_REG0[0..7]=0x12,NXM_NX_REG1[0..3]=NXM_NX_REG2[4..7],eth_src=02:00:00:00:00:01,in_port=3)
learn(eth_type=0x86dd,ipv6_src=fe80::1,load:0->NXM_NX_REG1[],vlan_tci=0x1005)
learn(dl_type=0x0800,nw_proto=17,udp_src=53,NXM_OF_IP_DST[])
multipath(eth_src,50,modulo_n,1,0,NXM_NX_REG0[0..7])
multipath(symmetric_l4, 1024, hash_threshold, 10, 0, NXM_NX_REG2[])
multipath(symmetric_l3l4,0,hrw,100,0,reg1[0..15])
multipath(symmetric_l3l4+udp,65535,iter_hash,3,4,NXM_NX_REG1[5..6])
multipath(nw_src,1,hrw,4,0,NXM_NX_REG0[]),multipath(nw_dst,1,hrw,4,0,NXM_NX_REG0[])
multipath(SYMMETRIC_L3,1,HRW,4,0,NXM_OF_VLAN_TCI[0..11])
bundle(eth_src,0,hrw,ofport,members:4,8)
bundle(symmetric_l4,3,active_backup,ofport,members:)
bundle(nw_dst,3,active_backup,ofport,slaves:[1,2,LOCAL])
bundle_load(eth_src,0,hrw,ofport,NXM_NX_REG0[],members:4,8)
bundle_load(symmetric_l3l4+udp,7,hrw,ofport,NXM_NX_REG2[3..20],members:1)
fin_timeout(idle_timeout=5)
fin_timeout(hard_timeout=7,idle_timeout=5)
fin_timeout()
sample(probability=12345,collector_set_id=23456,obs_domain_id=34567,obs_point_id=45678)
sample(probability=1,sampling_port=3,egress)
sample(probability=65535,sampling_port=LOCAL,ingress)
""".strip().split("\n")
"""What actions may look like, under a match on tcp."""

MALFORMED = """
ip,actions=learn(table=255)
ip,actions=learn(NXM_OF_TCP_DST[])
ip,actions=learn(NXM_OF_IP_SRC[])
tcp,actions=learn(eth_type=0x800,NXM_OF_TCP_DST[]=NXM_OF_TCP_SRC[])
ip,actions=learn(eth_type=0x800,nw_proto=6,NXM_OF_TCP_DST[]=NXM_OF_TCP_SRC[])
ip,actions=learn(NXM_OF_ETH_DST[]=NXM_OF_IP_SRC[])
ip,actions=learn(load:5)
ip,actions=learn(load:0x100->NXM_NX_REG0[0..3])
ip,actions=learn(load:NXM_OF_IP_SRC[]->NXM_NX_REG0[0..3])
ip,actions=learn(load:1->NXM_NX_CT_STATE[])
ip,actions=learn(result_dst=NXM_NX_REG0[0..3])
ip,actions=learn(result_dst=NXM_NX_CT_STATE[1])
ip,actions=learn(foo=3)
ip,actions=learn(output:1)
ip,actions=multipath(eth_src,50,modulo_n,1,0)
ip,actions=multipath(eth_dst,50,modulo_n,1,0,NXM_NX_REG0[0..7])
ip,actions=multipath(eth_src,50,fnord,1,0,NXM_NX_REG0[0..7])
ip,actions=multipath(eth_src,50,modulo_n,0,0,NXM_NX_REG0[0..7])
ip,actions=multipath(eth_src,50,modulo_n,17,0,NXM_NX_REG0[0..3])
ip,actions=multipath(eth_src,50,modulo_n,1,0,NXM_NX_CT_STATE[])
ip,actions=multipath(eth_src,50,modulo_n,1,0,NXM_OF_TCP_SRC[])
ip,actions=bundle(eth_src,0,hrw,ofport)
ip,actions=bundle(eth_src,0,hrw,port,members:1)
ip,actions=bundle(eth_src,0,modulo_n,ofport,members:1)
ip,actions=bundle(eth_foo,0,hrw,ofport,members:1)
ip,actions=bundle(eth_src,0,hrw,ofport,members:CONTROLLER)
ip,actions=bundle(eth_src,0,hrw,ofport,members:xyz)
ip,actions=bundle_load(eth_src,0,hrw,ofport,NXM_NX_REG0[0..14],members:1)
ip,actions=bundle_load(eth_src,0,hrw,ofport,NXM_NX_CT_STATE[],members:1)
tcp,actions=fin_timeout(idle=5)
tcp,actions=fin_timeout(idle_timeout=65536)
ip,actions=sample(collector_set_id=5)
ip,actions=sample(probability=0)
ip,actions=sample(probability=65536)
ip,actions=sample(probability=5,foo=1)
foo=1,actions=drop
tcp
tcp,tp_dst=80
tcp,tp_dst=65536,actions=drop
tcp,tp_dst=x,actions=drop
ip,ip_ttl=5,actions=drop
ip,nw_src=10.0.0,actions=drop
ip,nw_src,actions=drop
in_port=,actions=drop
dl_src,actions=drop
ip,nw_src=10.0.0.0/33,actions=drop
ip,nw_src=10.0.0.0/255.0.0,actions=drop
ip,nw_frag=maybe,actions=drop
ip,nw_proto=256,actions=drop
ip,nw_proto=6/7,actions=drop
ip,nw_ttl=3/7,actions=drop
ipv6,ipv6_src=fe80::g,actions=drop
ipv6,ipv6_src=fe80::1/129,actions=drop
dl_src=00:11:22:33:44,actions=drop
dl_src=00:11:22:33:44:55:66,actions=drop
dl_src=00:11:22:33:44:gg,actions=drop
in_port=eth0,actions=drop
in_port=70000,actions=drop
in_port=-1,actions=drop
in_port="eth0",actions=drop
reg0=0x100000000,actions=drop
reg16=1,actions=drop
reg0[33]=1,actions=drop
reg0[5..3]=1,actions=drop
reg0[0..3]=16,actions=drop
reg0[a]=1,actions=drop
NXM_NX_REG0=5,actions=drop
NXM_NX_FOO[]=5,actions=drop
ct_zone=5/7,actions=drop
ct_zone=65536,actions=drop
ct_state=+foo,actions=drop
ct_state=+new+new,actions=drop
ct_state=new|foo,actions=drop
ct_state=+new|est,actions=drop
ct_state=0x100,actions=drop
ct_state=++new,actions=drop
tcp,tcp_flags=+foo,actions=drop
tcp,tcp_flags=0x1000,actions=drop
tun_flags=foo,actions=drop
packet_type=5,actions=drop
skb_priority=5,actions=drop
table=256,actions=drop
table=foo,actions=drop
table=-1,actions=drop
priority=65536,actions=drop
priority=-1,actions=drop
priority=,actions=drop
idle_timeout=65536,actions=drop
hard_timeout=x,actions=drop
importance=70000,actions=drop
cookie=x,actions=drop
cookie=1/1,actions=drop
out_port=3,actions=drop
ip actions=drop,output:1
ip actions=foo
ip actions=ct_claer
ip actions=output:foo
ip actions=output:reg0[0..40]
ip actions=output(port=1,max_len=3)
ip actions=output(port=normal,max_len=30)
ip actions=output(port=1,max_len=30,foo=1)
ip actions=output:70000
ip actions=output:65280
ip actions=output:none
ip actions=enqueue:1
ip actions=enqueue:foo:1
ip actions=controller(reason=foo)
ip actions=controller(foo=1)
ip actions=controller(userdata=0g)
ip actions=controller:65536
ip actions=resubmit
ip actions=resubmit()
ip actions=resubmit(,)
ip actions=resubmit(,255)
ip actions=resubmit(,256)
ip actions=resubmit(,1,foo)
ip actions=resubmit(foo,1)
ip actions=resubmit(,1,ct)
ip actions=mod_vlan_vid:4096
ip actions=mod_vlan_pcp:8
ip actions=mod_nw_tos:3
ip actions=mod_nw_tos:256
ip actions=mod_nw_ecn:4
ip actions=mod_nw_ttl:256
ip actions=mod_nw_src:1.2.3
ip actions=mod_dl_src:00:11
ip actions=mod_tp_dst:65536
ip actions=push_vlan:0x800
ip actions=push_vlan:0x8100,push_vlan:0x8100,push_vlan:0x8100
ip actions=set_field:5
ip actions=set_field:5->
ip actions=set_field:5->foo
ip actions=set_field:5->ct_state
ip actions=set_field:5->ct_mark
ip actions=set_field:5->ct_zone
ip actions=set_field:5->nw_proto
ip actions=set_field:6->eth_type
ip actions=set_field:5->tcp_dst
ip actions=set_field:5->vlan_vid
ip actions=set_field:5->vlan_pcp
ip actions=set_field:8->ip_ecn
ip actions=set_field:99->ip_dscp
ip actions=set_field:fe80::1->ipv6_src
ip actions=set_field:5->NXM_NX_REG0[]
ip actions=load:5->NXM_NX_CT_MARK[]
ip actions=load:16->NXM_NX_REG0[0..3]
ip actions=load:5->NXM_NX_REG0[33]
ip actions=load:x->NXM_NX_REG0[]
ip actions=load:5->NXM_NX_FOO[]
ip actions=load:5->NXM_NX_CT_ZONE[]
ip actions=load:5->NXM_OF_TCP_DST[]
ip actions=move:NXM_NX_REG0[]->NXM_NX_REG1[0..3]
ip actions=move:NXM_NX_REG0[]
ip actions=move:NXM_NX_REG0[]->NXM_NX_CT_MARK[]
ip actions=move:NXM_NX_REG0[0..15]->NXM_NX_CT_ZONE[]
ip actions=move:NXM_OF_TCP_SRC[]->NXM_NX_REG1[0..15]
ip actions=push:NXM_NX_FOO[]
ip actions=pop:NXM_NX_CT_ZONE[]
ip actions=ct(foo)
ip actions=ct(table=255)
ip actions=ct(table=256)
ip actions=ct(zone=65536)
ip actions=ct(zone=foo)
ip actions=ct(force)
ip actions=ct(alg=foo)
ip actions=ct(alg=ftp)
tcp actions=ct(alg=tftp)
ip actions=ct(commit,nat(src=1.2.3.4,dst=1.2.3.4))
ip actions=ct(commit,nat(random))
ip actions=ct(commit,nat(src=1.2.3.4,hash,random))
ip actions=ct(commit,nat(src=1.2.3.9-1.2.3.4))
ip actions=ct(commit,nat(src=1.2.3.4:9-4))
ip actions=ct(commit,nat(src=1.2.3.4:))
ip actions=ct(commit,nat(src=foo))
ip actions=ct(commit,nat(src=fe80::1))
ipv6 actions=ct(commit,nat(src=1.2.3.4))
ip actions=ct(commit,exec(output:1))
ip actions=ct(commit,exec(set_field:1->reg0))
ip actions=ct(commit,exec(ct(commit)))
ip actions=ct(commit,exec(set_field:1->ct_zone))
actions=ct
arp actions=ct(commit)
actions=clone(ct(commit))
actions=write_actions(ct(commit))
ip,ct_state=+trk+inv actions=ct(commit)
ip actions=nat
ip actions=nat(src=1.2.3.4)
ip actions=conjunction(5,0/2)
ip actions=conjunction(5,3/2)
ip actions=conjunction(5,1/1)
ip actions=conjunction(5,1/65)
ip actions=conjunction(5)
ip actions=conjunction(5,1/2),output:1
ip actions=check_pkt_larger(100)->reg0[0..1]
ip actions=check_pkt_larger(100)
ip actions=check_pkt_larger(x)->reg0[0]
ip actions=note:0x
ip actions=meter:0
ip actions=output:1,meter:1
ip actions=clone(meter:1)
ip actions=clone(goto_table:3)
ip actions=write_actions(goto_table:3)
ip actions=goto_table:3,output:1
ip actions=goto_table:3,goto_table:4
ip actions=goto_table:foo
ip actions=goto_table:256
ip actions=write_metadata:x
ip actions=write_metadata:1,write_metadata:2
ip actions=apply_actions(output:1)
table=5,ip actions=goto_table:5
table=5,ip actions=goto_table:3
ip actions=dec_ttl(,)
ip actions=group:x
actions=mod_nw_src:1.2.3.4,push_vlan:0x8100
ip actions=mod_tp_dst:80,push_vlan:0x8100
actions=clone(dec_ttl),push_vlan:0x8100
reset_counts,actions=strip_vlan
ip actions=meter:3,set_mpls_ttl:3
ip actions=set_queue:x
""".strip().split("\n")
"""What both ovs-ofctl and a reader of its text must refuse."""


STRICTER = """
tcp,tp_dst=0x actions=drop
ip,actions=multipath(eth_src,x,modulo_n,1,0,NXM_NX_REG0[])
ip,actions=learn(priority=70000)
ip,nw_src=10.0.0.256 actions=drop
dl_vlan=5000 actions=drop
dl_vlan_pcp=9 actions=drop
ip,nw_tos=46 actions=drop
ip,nw_ecn=7 actions=drop
arp,arp_op=257 actions=drop
mpls,mpls_label=2000000 actions=drop
metadata=-1 actions=drop
tcp=6 actions=drop
ip actions=ct(table=1
ip actions=ct(commit,nat(src=1.2.3.4:99999))
ip actions=ct(commit,nat(src=1.2.3.4),nat(src=1.2.3.5))
ip actions=dec_ttl(foo)
ip actions=load:5x->NXM_NX_REG0[]
ip,dl_src=00:100:00:00:00:00 actions=drop
recirc_id=3 actions=drop
dp_hash=5/0xf actions=drop
table=254 actions=drop
""".strip().split("\n")
"""What ovs-ofctl takes, to bend it without a word or for the switch to refuse; here an error."""


def _ip(random: Random) -> str:
    address = ".".join(str(random.randrange(256)) for _ in range(4))
    return address + random.choice(["", f"/{random.randrange(33)}", "/255.0.255.0"])


def _mac(random: Random) -> str:
    return ":".join(f"{random.randrange(256):02x}" for _ in range(6))


def _ipv6(random: Random) -> str:
    groups = [random.choice([0, 0, random.randrange(0x10000)]) for _ in range(8)]
    return ":".join(f"{group:x}" for group in groups) + random.choice(
        ["", f"/{random.randrange(129)}"]
    )


def _ct_state(random: Random) -> str:
    names = random.sample(["new", "est", "rel", "rpl", "inv", "trk", "snat", "dnat"], 3)
    return "".join(random.choice("+-") + name for name in names)


def _masked(random: Random, bits: int) -> str:
    value = random.getrandbits(bits)
    return random.choice([str(value), hex(value), f"{value:#x}/{random.getrandbits(bits):#x}"])


def random_match(random: Random) -> str:
    """A match of some parts that go together."""
    parts = [f"reg{random.randrange(16)}={_masked(random, 32)}"] if random.random() < 0.3 else []
    if random.random() < 0.4:
        parts.append(f"in_port={random.randrange(1, 200)}")
    if random.random() < 0.3:
        parts.append(f"ct_state={_ct_state(random)}")
    if random.random() < 0.2:
        parts.append(f"ct_mark={_masked(random, 32)}")
    if random.random() < 0.2:
        parts.append(f"ct_label={random.getrandbits(128):#x}/{random.getrandbits(128):#x}")
    if random.random() < 0.2:
        parts.append(f"metadata={_masked(random, 64)}")
    if random.random() < 0.3:
        parts.append(f"dl_vlan={random.randrange(4096)}")
    if random.random() < 0.3:
        parts.append(f"dl_src={_mac(random)}")
    word = random.choice(["ip", "tcp", "udp", "icmp", "ipv6", "tcp6", "udp6", "icmp6", "arp", ""])
    if word:
        parts.append(word)
    if word in ("ip", "tcp", "udp", "icmp"):
        parts.append(f"nw_src={_ip(random)}")
        parts.append(f"ip_dst={_ip(random)}")
        parts.append(f"nw_tos={random.randrange(64) * 4}")
    if word.endswith("6"):
        parts.append(f"ipv6_src={_ipv6(random)}")
        parts.append(f"ipv6_dst={_ipv6(random)}")
    if word[:3] in ("tcp", "udp"):
        parts.append(f"tp_src={_masked(random, 16)}")
        parts.append(f"{word[:3]}_dst={_masked(random, 16)}")
    if word == "arp":
        parts.append(f"arp_spa={_ip(random)},arp_op={random.randrange(256)}")
    random.shuffle(parts)
    return random.choice([",", " ", ", "]).join(parts)
