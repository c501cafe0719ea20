/**
 * A bucket's own register: when it was created and deleted, and its settings. Each is a register of
 * its own, the last writer of which wins, so that merging commutes and repeating changes nothing.
 */
import { higher, type Version } from './version.ts'

/** What becomes of a write that loses a conflict: it is listed, or listed and kept under another key. */
export type ConflictPolicy = 'last-write-wins' | 'keep-both'

export interface PolicyRegister {
  readonly version: Version
  /** Undefined: as the site is configured. */
  readonly policy: ConflictPolicy | undefined
}

export interface BucketRegister {
  readonly created: Version | undefined
  readonly deleted: Version | undefined
  readonly conflictPolicy?: PolicyRegister | undefined
}

export function mergeRegisters(a: BucketRegister, b: BucketRegister): BucketRegister {
  const conflictPolicy = laterPolicy(a.conflictPolicy, b.conflictPolicy)
  return {
    created: higher(a.created, b.created),
    deleted: higher(a.deleted, b.deleted),
    ...(conflictPolicy === undefined ? {} : { conflictPolicy }),
  }
}

/** True when merging `other` into `register` would change nothing. */
export function includesRegister(register: BucketRegister, other: BucketRegister): boolean {
  const merged = mergeRegisters(register, other)
  return (
    merged.created === register.created &&
    merged.deleted === register.deleted &&
    merged.conflictPolicy?.version === register.conflictPolicy?.version
  )
}

/** The highest version in it: the label of the change that carries it. */
export function registerVersion(register: BucketRegister): Version | undefined {
  const { created, deleted, conflictPolicy } = register
  return higher(higher(created, deleted), conflictPolicy?.version)
}

/** A setting ends with the bucket: one that is made again begins without. */
export function policyOf({ deleted, conflictPolicy }: BucketRegister): ConflictPolicy | undefined {
  if (conflictPolicy === undefined) return undefined
  const isOver = deleted !== undefined && deleted > conflictPolicy.version
  return isOver ? undefined : conflictPolicy.policy
}

function laterPolicy(
  a: PolicyRegister | undefined,
  b: PolicyRegister | undefined,
): PolicyRegister | undefined {
  if (a === undefined || b === undefined) return a ?? b
  return b.version > a.version ? b : a
}
