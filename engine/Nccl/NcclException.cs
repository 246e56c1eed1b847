namespace Distributed.Engine.Nccl;

/// <summary>NCCL says no; the message is its own.</summary>
internal sealed class NcclException(string message) : Exception(message);
