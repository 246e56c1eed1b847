namespace Grpc.AspNetCore.Server;

/// <summary>The client cancelled the call or its connection was lost, while a handler read or wrote.</summary>
internal sealed class CallAbortedException(Exception? cause)
    : OperationCanceledException("The client cancelled the call, or its connection was lost.", cause);
