/** The flags of `comio server`, made from the table of keys, which alone knows their meaning. */
import { Flags } from '@oclif/core'
import {
  type ConfigKey,
  type ConfigKeySpec,
  configKeyNames,
  specOf,
} from '../config/config-keys.ts'
import { formatValue } from '../config/format-value.ts'

const helpValues: Readonly<Record<string, string>> = {
  host: 'HOST',
  port: 'PORT',
  path: 'PATH',
  size: 'SIZE',
  'storage-type': 'directory|file',
  'site-id': 'ID',
  url: 'URL',
  level: 'debug|info|warn|error',
  format: 'json|pretty',
  secret: 'TOKEN',
  secrets: 'TOKEN',
}

const configFlag = Flags.string({
  summary: 'Configuration file. Default: ./config.yaml if there.',
  helpValue: 'FILE',
})

/** No defaults here: a flag that was not given must leave the word to environment and file. */
export const serverFlags = { config: configFlag, ...flagsOf(configKeyNames) }

/** What says where a volume lies, for commands that need no more of a site, and make none. */
export const volumeFlags = {
  config: configFlag,
  storage: Flags.string({
    summary: `Directory, file or block device of the volume.${defaultOf(specOf('server.storage_path'))}`,
    helpValue: helpValues.path ?? 'PATH',
  }),
}

function flagsOf(keys: readonly ConfigKey[]) {
  return Object.fromEntries(
    keys.flatMap((key) => {
      const spec = specOf(key)
      return spec.flag === undefined ? [] : [[spec.flag, flagOf(spec)]]
    }),
  )
}

function flagOf(spec: ConfigKeySpec) {
  const summary = `${spec.summary}${defaultOf(spec)}`
  const helpValue = helpValues[spec.kind] ?? 'VALUE'
  switch (spec.kind) {
    case 'switch':
      return Flags.boolean({ summary, allowNo: true })
    case 'secrets':
      return Flags.string({
        summary: `${summary} Repeatable.`,
        helpValue,
        multiple: true,
        multipleNonGreedy: true,
      })
    default:
      return Flags.string({ summary, helpValue })
  }
}

function defaultOf(spec: ConfigKeySpec): string {
  if (spec.default === undefined) return spec.unset === 'none' ? '' : ` Default: ${spec.unset}.`
  if (typeof spec.default === 'object' || spec.default === false) return ''
  return ` Default: ${formatValue(spec.kind, spec.default)}.`
}
