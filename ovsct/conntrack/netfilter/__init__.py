"""The netfilter dialect of conntrack: what the OVS kernel datapath and TC's act_ct share.

One module a concern: ``tcp`` and ``window`` the TCP tracker, ``datagram``, ``icmp`` and ``sctp``
the other protocols, ``nat`` address translation, ``core`` the table and what calls the rest.
"""

from ovsct.conntrack.netfilter.core import Netfilter
from ovsct.conntrack.netfilter.entry import Entry, Info, Status, Verdict
from ovsct.conntrack.netfilter.sysctls import Sysctls

__all__ = ["Entry", "Info", "Netfilter", "Status", "Sysctls", "Verdict"]
