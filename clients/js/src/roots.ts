/**
 * The pinned roots of trust, by SHA-256 of the certificate's DER bytes.
 *
 * Only the fingerprint is kept: the certificate itself comes with every document, and counts only if it matches.
 */

/** Evidence of QEMU's `nitro-enclave` machine, which signs nothing (emulated.ts). No root vouches for it. */
export const EMULATED = "qemu-nitro-enclave";

const KINDS = ["nitro", "simulated", EMULATED] as const;

/** What evidence shows: Nitro hardware, that some machine signed it itself, or QEMU's machine, which signs nothing. */
export type EvidenceKind = (typeof KINDS)[number];

export function isEvidenceKind(value: unknown): value is EvidenceKind {
  return KINDS.some((kind) => kind === value);
}

/** CN=aws.nitro-enclaves, P-384, 2019-10-28 to 2049-10-28. China and GovCloud have roots of their own. */
export const AWS_NITRO_ROOT_G1 = "641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b";

/** SHA-256 values that get pinned by mistake. The first is the one that AWS's documentation prints. */
export const NOT_FINGERPRINTS: ReadonlyMap<string, string> = new Map([
  ["8cf60e2b2efca96c6a9e71e851d00c1b6991cc09eadbe64a6a1d1b1eb9faff7c", "the ZIP file that AWS publishes the root in"],
  ["6eb9688305e4bbca67f44b59c29a0661ae930f09b5945b5d1d9ae01125c8d6c0", "the root's PEM file"],
]);

/** Common name of every simulated root, so that listing one as genuine is noticed. */
export const SIMULATED_ROOT_NAME = "blindsight.simulated";
