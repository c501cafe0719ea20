import { Flags } from '@oclif/core'
import { BaseCommand } from '../../src/cli/base-command.ts'
import { judgeConfig, validateConfig } from '../../src/cli/config-verdict.ts'
import { exitCodes } from '../../src/cli/exit-codes.ts'
import { writeJson, writeResult, writeWarning } from '../../src/cli/output.ts'
import { serverFlags } from '../../src/cli/server-flags.ts'

export default class ConfigValidate extends BaseCommand {
  static override summary = 'Check the configuration without starting anything.'

  static override description =
    'Names every problem with its key and its place, all at once, and exits 2; or says that there ' +
    'is none and exits 0. Opens the certificates, keys and tokens that it names, too: whether they are ' +
    'there, in PEM form, not expired, and belong together. Warnings do not change the exit code. ' +
    'Takes the flags of comio server.'

  static override examples = [
    '<%= config.bin %> config validate --config config.yaml',
    '<%= config.bin %> config validate --config config.yaml && systemctl restart comio',
  ]

  static override flags = {
    json: Flags.boolean({ summary: 'Print the verdict as JSON.' }),
    ...serverFlags,
  }

  async run(): Promise<void> {
    const { json, ...flags } = (await this.parse(ConfigValidate)).flags
    if (json) {
      const verdict = await judgeConfig(flags)
      writeJson(verdict)
      if (!verdict.valid) this.exit(exitCodes.usage)
      return
    }
    for (const warning of await validateConfig(flags)) writeWarning(warning)
    writeResult('the configuration is valid')
  }
}
