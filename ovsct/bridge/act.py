"""What every action means: one row an action. To add an action, add its row."""

from __future__ import annotations

from typing import Final

from ovsct.bridge import act_ct, act_encap, act_fields, act_group, act_hash, act_learn, act_output
from ovsct.bridge.context import Handlers
from ovsct.bridge.freeze import UnrollXlate
from ovsct.openflow import actions as of

ACTIONS: Final[Handlers] = {
    of.Output: act_output.output,
    of.OutputField: act_output.output_field,
    of.Controller: act_output.controller,
    of.Enqueue: act_output.enqueue,
    of.Group: act_group.group,
    of.Resubmit: act_output.resubmit,
    of.GotoTable: act_output.goto_table,
    of.Clone: act_output.clone,
    of.CheckPktLarger: act_output.check_pkt_larger,
    of.Exit: act_output.exit_,
    of.ClearActions: act_output.clear_actions,
    of.WriteActions: act_output.write_actions,
    UnrollXlate: act_output.unroll,
    of.SetField: act_fields.set_field,
    of.Move: act_fields.move,
    of.StackPush: act_fields.stack_push,
    of.StackPop: act_fields.stack_pop,
    of.PushVlan: act_fields.push_vlan,
    of.StripVlan: act_fields.strip_vlan,
    of.PushMpls: act_fields.push_mpls,
    of.PopMpls: act_fields.pop_mpls,
    of.SetMplsTtl: act_fields.set_mpls_ttl,
    of.DecMplsTtl: act_fields.dec_mpls_ttl,
    of.DecTtl: act_fields.dec_ttl,
    of.DeleteField: act_fields.delete_field,
    of.Encap: act_encap.encap,
    of.Decap: act_encap.decap,
    of.DecNshTtl: act_encap.dec_nsh_ttl,
    of.SetQueue: act_fields.set_queue,
    of.PopQueue: act_fields.pop_queue,
    of.WriteMetadata: act_fields.write_metadata,
    of.Note: act_fields.note,
    of.Conjunction: act_fields.note,
    of.Sample: act_fields.note,
    of.Meter: act_output.meter,
    of.DebugRecirc: act_output.debug_recirc,
    of.DebugSlow: act_output.debug_slow,
    of.Multipath: act_hash.multipath,
    of.Bundle: act_hash.bundle,
    of.Learn: act_learn.learn,
    of.FinTimeout: act_learn.fin_timeout,
    of.Ct: act_ct.ct,
    of.CtClear: act_ct.ct_clear,
}
