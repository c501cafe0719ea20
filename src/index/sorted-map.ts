/**
 * An immutable map of bytes to bytes in key order: a treap whose priorities are drawn from the keys,
 * so that the same entries always make the same tree. A copy is free, which makes snapshots free.
 */
import { checksum } from '../base/checksum.ts'

interface TreeNode {
  readonly key: Buffer
  readonly value: Buffer
  readonly priority: number
  readonly left: Tree
  readonly right: Tree
}
type Tree = TreeNode | undefined

export class SortedMap {
  static readonly empty = new SortedMap(undefined)
  readonly #root: Tree

  private constructor(root: Tree) {
    this.#root = root
  }

  get(key: Uint8Array): Buffer | undefined {
    let node = this.#root
    while (node !== undefined) {
      const order = Buffer.compare(key, node.key)
      if (order === 0) return node.value
      node = order < 0 ? node.left : node.right
    }
    return undefined
  }

  /** A map that has `key`; the bytes are copied. */
  with(key: Uint8Array, value: Uint8Array): SortedMap {
    const [left, right] = cut(this.#root, key)
    const node: TreeNode = {
      key: Buffer.from(key),
      value: Buffer.from(value),
      priority: checksum(key),
      left: undefined,
      right: undefined,
    }
    return new SortedMap(join(join(left, node), right))
  }

  without(key: Uint8Array): SortedMap {
    return new SortedMap(join(...cut(this.#root, key)))
  }

  /** The entry with the lowest key at or above `key`. */
  atOrAfter(key: Uint8Array): readonly [Buffer, Buffer] | undefined {
    let best: Tree
    let node = this.#root
    while (node !== undefined) {
      const isCandidate = Buffer.compare(node.key, key) >= 0
      if (isCandidate) best = node
      node = isCandidate ? node.left : node.right
    }
    return best && [best.key, best.value]
  }

  /** The entry with the highest key below `key`. */
  before(key: Uint8Array): readonly [Buffer, Buffer] | undefined {
    let best: Tree
    let node = this.#root
    while (node !== undefined) {
      const isCandidate = Buffer.compare(node.key, key) < 0
      if (isCandidate) best = node
      node = isCandidate ? node.right : node.left
    }
    return best && [best.key, best.value]
  }

  /** Bytes in keys and values. */
  byteSize(): number {
    let total = 0
    const pending: Tree[] = [this.#root]
    for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
      total += node.key.length + node.value.length
      if (node.left !== undefined) pending.push(node.left)
      if (node.right !== undefined) pending.push(node.right)
    }
    return total
  }
}

/** Everything below and everything above `key`, without `key` itself. */
function cut(tree: Tree, key: Uint8Array): [below: Tree, above: Tree] {
  if (tree === undefined) return [undefined, undefined]
  const order = Buffer.compare(key, tree.key)
  if (order === 0) return [tree.left, tree.right]
  if (order < 0) {
    const [below, above] = cut(tree.left, key)
    return [below, { ...tree, left: above }]
  }
  const [below, above] = cut(tree.right, key)
  return [{ ...tree, right: below }, above]
}

/** Both trees in one; every key of `left` is below every key of `right`. */
function join(left: Tree, right: Tree): Tree {
  if (left === undefined) return right
  if (right === undefined) return left
  if (left.priority > right.priority) return { ...left, right: join(left.right, right) }
  return { ...right, left: join(left, right.left) }
}
