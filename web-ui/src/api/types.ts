/** The API's types, generated from `openapi.json`, under the names used here. */
import type { components } from './schema';

type Schemas = components['schemas'];

export type Status = Schemas['Status'];
export type DeviceView = Schemas['DeviceView'];
export type PointView = Schemas['PointView'];
export type NetworkView = Schemas['NetworkView'];
export type NodeView = Schemas['NodeView'];
export type BranchView = Schemas['BranchView'];
export type UnitView = Schemas['UnitView'];
export type NetworkState = Schemas['NetworkState'];
export type NodeState = Schemas['NodeState'];
export type BranchState = Schemas['BranchState'];
export type UnitState = Schemas['UnitState'];
export type RejectedView = Schemas['RejectedView'];
export type IntervalView = Schemas['IntervalView'];
export type AwardView = Schemas['AwardView'];
export type BindingView = Schemas['BindingView'];
export type PriceView = Schemas['PriceView'];
export type SettlementView = Schemas['SettlementView'];
export type DispatchView = Schemas['DispatchView'];
export type AlarmView = Schemas['AlarmView'];
export type OrderView = Schemas['OrderView'];
export type NewOrder = Schemas['NewOrder'];
export type OrderStep = Schemas['OrderStep'];
export type SessionView = Schemas['SessionView'];
export type Problem = Schemas['Problem'];
export type Role = Schemas['Role'];
export type UserAccount = Schemas['UserAccount'];
export type NewPassword = Schemas['NewPassword'];
