/** What a rule over several keys of the configuration is. */
import type { ConfigKey } from './config-keys.ts'
import type { ConfigValues } from './server-config.ts'

export interface RuleView {
  readonly values: ConfigValues
  isSet(key: ConfigKey): boolean
}

/** What a rule found: the key at fault, the field below it, and why. */
export interface RuleFinding {
  readonly key: ConfigKey
  /** Below the key, as in `auth.tokens[1].name`. */
  readonly path?: readonly (string | number)[]
  readonly sentence: string
}

export interface Rule {
  /** The rule is skipped while one of these is wrong by itself. */
  readonly needs: readonly ConfigKey[]
  readonly check: (view: RuleView) => readonly RuleFinding[]
}
