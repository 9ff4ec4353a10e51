-- The health of a DatabaseMigration or a DatabaseRestore, for Argo CD.
-- The resource follows kstatus: observedGeneration, and the conditions Ready, Reconciling and Stalled. Only an end
-- without success is Degraded, for that fails a sync; what is tried again is Progressing.
local status = obj.status or {}
if tonumber(status.observedGeneration) ~= obj.metadata.generation then
  return { status = "Progressing", message = "Waiting for the operator to see this generation" }
end

local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end

local function health(name, word)
  local condition = conditions[name]
  if condition ~= nil and condition.status == "True" then
    return { status = word, message = (condition.reason or name) .. ": " .. (condition.message or "") }
  end
end

local suspended = nil
if obj.spec ~= nil and obj.spec.suspend == true then
  suspended = { status = "Suspended", message = "spec.suspend is true" }
end

return health("Stalled", "Degraded")
  or health("Ready", "Healthy")
  or suspended
  or health("Reconciling", "Progressing")
  or { status = "Progressing", message = "Waiting for the operator" }
