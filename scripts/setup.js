#!/usr/bin/env node
// Makes a fresh clone ready: installs what is missing, and sees to it that the Node of our dev dependency is there.
// Plain JavaScript for whatever Node the machine has. When all is well it takes a few milliseconds and changes nothing.
import { spawnSync } from 'node:child_process'
import { existsSync, lstatSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const modules = join(root, 'node_modules')
// npm writes this file at the end of an install: what it holds is what is there.
const installed = join(modules, '.package-lock.json')

if (!isInstalled()) {
  if (isLink()) {
    console.error('node_modules is a link, and npm would empty what it points to: install there, or remove the link.')
    process.exit(1)
  }
  console.error('Installing what dfs-node is made of (once)…')
  run(['ci', '--no-fund', '--no-audit', '--loglevel=error'])
}
if (!hasNode()) {
  // The binary comes by an install script, which some machines are set to skip.
  run(['rebuild', 'node', '--no-fund', '--no-audit', '--loglevel=error'])
}
if (!hasNode()) {
  console.error(
    'The `node` package was installed without its binary: run `npm ci --ignore-scripts=false`, then try again.'
  )
  process.exit(1)
}

function isInstalled() {
  return existsSync(installed) && statSync(installed).mtimeMs >= statSync(join(root, 'package-lock.json')).mtimeMs
}

function isLink() {
  return existsSync(modules) && lstatSync(modules).isSymbolicLink()
}

function hasNode() {
  const binary = join(modules, '.bin', process.platform === 'win32' ? 'node.cmd' : 'node')
  return existsSync(binary) && spawnSync(binary, ['--version'], { shell: process.platform === 'win32' }).status === 0
}

function run(args) {
  // npm says where it is itself; a second npm on the path may be another version.
  const npm = process.env.npm_execpath
  const { status } = npm
    ? spawnSync(process.execPath, [npm, ...args], { cwd: root, stdio: 'inherit' })
    : spawnSync('npm', args, { cwd: root, stdio: 'inherit', shell: process.platform === 'win32' })
  if (status !== 0) {
    console.error('The installation failed: see above.')
    process.exit(status ?? 1)
  }
}
